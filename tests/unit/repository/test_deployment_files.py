"""docker/ and deploy/ agree with each other and with what the worker reads; linters check their syntax (make lint)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.sides.temporal import QUEUE_READS as OF_BENCHMARKS
from dbt_temporal.adapters.environment import variable_names
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.entrypoints.dev.server import QUEUE_READS
from dbt_temporal.entrypoints.settings import Settings, read_settings
from tests.dockerfile import ROOT, assignments, exec_form, stages, values

KUBERNETES = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())
IMAGE = stages()[-1]
OF_OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""Variables that a library reads."""


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


CONFIG, PROFILES = manifests("configmap.yaml")
(SECRET,) = manifests("secret.example.yaml")
(DEPLOYMENT,) = manifests("deployment.yaml")
SCALED, AUTHENTICATION = manifests("keda.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def variables_of_settings(model: Any = Settings) -> set[str]:
    """The variables that the worker reads, those of groups included."""
    groups = [field.annotation for field in model.model_fields.values() if hasattr(field.annotation, "model_fields")]
    own = {name for field in model.model_fields.values() for name in variable_names(field)}
    return own.union(*(variables_of_settings(group) for group in groups)) if groups else own


def variables_of_profile(text: str) -> set[str]:
    return set(re.findall(r"env_var\('(\w+)'", text))


def worker_environment() -> dict[str, str]:
    found: dict[str, str] = COMPOSE["services"]["worker"]["environment"]
    return found


class TestImage:
    def test_it_runs_as_another_user_than_root_by_number_as_kubernetes_wants_it(self) -> None:
        assert values(IMAGE, "USER") == ["10001:10001"]
        assert POD["securityContext"]["runAsUser"] == 10001
        assert POD["securityContext"]["runAsNonRoot"] is True

    def test_all_that_the_worker_writes_is_below_tmp(self) -> None:
        environment = assignments(IMAGE, "ENV")
        for name in ("HOME", "DBT_TEMPORAL_CACHE_DIR", "HEALTH_FILE"):
            assert Path(environment[name]).is_relative_to("/tmp")
        assert {mount["mountPath"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")} == {"/tmp"}
        assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True
        assert COMPOSE["services"]["worker"]["read_only"] is True
        assert COMPOSE["services"]["worker"]["tmpfs"] == ["/tmp"]

    def test_health_is_asked_for_without_a_shell(self) -> None:
        _, _, command = values(IMAGE, "HEALTHCHECK")[0].partition("CMD ")
        assert exec_form(command) == ["dbt-temporal", "healthcheck"]
        assert CONTAINER["livenessProbe"]["exec"]["command"] == ["dbt-temporal", "healthcheck"]
        assert CONTAINER["startupProbe"]["exec"]["command"] == ["dbt-temporal", "healthcheck"]

    def test_it_takes_what_the_build_stage_has_installed(self) -> None:
        prefix = assignments(stages()[0], "ARG")["PREFIX"]
        assert values(IMAGE, "COPY") == [f"--from=build {prefix} {prefix}"]
        assert assignments(IMAGE, "ENV")["PATH"].split(":")[0] == f"{prefix}/bin"

    def test_the_build_context_holds_all_that_is_copied(self) -> None:
        lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
        assert lines[0] == "*"
        allowed = {line[1:].rstrip("/") for line in lines if line.startswith("!")}
        copied = {source for value in values(stages()[0], "COPY") for source in value.split()[:-1]}
        assert copied == allowed
        assert all((ROOT / source).exists() for source in copied)
        assert not any(fnmatch(source, line) for source in copied for line in lines[1:] if line[0] != "!")


class TestSettings:
    def test_each_server_that_we_start_reads_its_queues_as_often_as_quick_nodes_need(self) -> None:
        documented = "--dynamic-config-value history.transferProcessorMaxPollRPS=1000"
        assert documented in (ROOT / "docs" / "operations.md").read_text()
        assert f"--dynamic-config-value={QUEUE_READS}" in COMPOSE["services"]["temporal"]["command"]
        makefile = (ROOT / "Makefile").read_text()
        assert f"QUEUE_READS := {QUEUE_READS}" in makefile
        assert "--dynamic-config-value $(QUEUE_READS)" in makefile
        assert documented.split()[1] == QUEUE_READS == OF_BENCHMARKS

    def test_the_variables_of_the_compose_file_are_ones_that_are_read(self) -> None:
        profile = (ROOT / "examples" / "postgres-shop" / "profiles.yml").read_text()
        assert set(worker_environment()) - variables_of_settings() == variables_of_profile(profile)

    def test_the_variables_of_the_manifests_are_ones_that_are_read(self) -> None:
        given = set(CONFIG["data"]) | set(SECRET["stringData"])
        profile = variables_of_profile(PROFILES["data"]["profiles.yml"])
        assert given - variables_of_settings() - OF_OTHERS == profile

    @pytest.mark.parametrize("environment", [worker_environment(), CONFIG["data"]], ids=["compose", "kubernetes"])
    def test_the_values_are_ones_that_the_worker_takes(self, environment: dict[str, str], tmp_path: Path) -> None:
        read_settings({**environment, "DBT_PROFILES_DIR": str(tmp_path), "HOME": str(tmp_path)})

    def test_no_secret_is_in_the_config_map(self) -> None:
        assert set(CONFIG["data"]) & set(SECRET["stringData"]) == set()
        assert not [name for name in CONFIG["data"] if re.search("KEY|SECRET|PASSWORD|TOKEN", name)]


class TestShutdown:
    def test_docker_waits_longer_than_the_worker(self) -> None:
        minutes = re.fullmatch(r"(\d+)m", COMPOSE["services"]["worker"]["stop_grace_period"])
        assert minutes is not None
        assert int(minutes[1]) * 60 >= graceful_secs(worker_environment()) + 60

    def test_kubernetes_waits_longer_than_the_worker(self) -> None:
        assert POD["terminationGracePeriodSeconds"] >= graceful_secs(CONFIG["data"]) + 60


def graceful_secs(environment: dict[str, str]) -> float:
    grace = WorkerTuning.model_validate(environment).graceful_shutdown_secs
    assert grace is not None
    return grace


class TestKubernetes:
    def test_the_pod_takes_its_environment_from_the_config_map_and_the_secret(self) -> None:
        assert CONTAINER["envFrom"] == [
            {"configMapRef": {"name": CONFIG["metadata"]["name"]}},
            {"secretRef": {"name": SECRET["metadata"]["name"]}},
        ]

    def test_the_profiles_are_where_the_worker_looks_for_them(self) -> None:
        (mount,) = [mount for mount in CONTAINER["volumeMounts"] if mount["mountPath"] != "/tmp"]
        (volume,) = [volume for volume in POD["volumes"] if volume["name"] == mount["name"]]
        assert mount["mountPath"] == CONFIG["data"]["DBT_PROFILES_DIR"]
        assert volume["configMap"]["name"] == PROFILES["metadata"]["name"]
        assert set(PROFILES["data"]) == {"profiles.yml"}

    def test_the_probed_port_is_the_health_server_s(self) -> None:
        ports = {port["name"]: str(port["containerPort"]) for port in CONTAINER["ports"]}
        assert ports["health"] == CONFIG["data"]["HEALTH_PORT"]
        assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "health"}

    def test_the_metrics_port_is_where_the_worker_serves_them(self) -> None:
        ports = {port["name"]: str(port["containerPort"]) for port in CONTAINER["ports"]}
        given = {name: value for name, value in CONFIG["data"].items() if name.startswith("TEMPORAL_METRICS_")}
        metrics = read_settings(given).metrics
        assert (metrics.exporter, metrics.prometheus_addr) == ("prometheus", f"0.0.0.0:{ports['metrics']}")

    def test_pods_are_selected_by_the_labels_that_they_have(self) -> None:
        wanted = DEPLOYMENT["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= DEPLOYMENT["spec"]["template"]["metadata"]["labels"].items()

    def test_the_kustomization_names_files_that_exist_and_no_example(self) -> None:
        (kustomization,) = manifests("kustomization.yaml")
        assert kustomization["kind"] == "Kustomization"
        assert all((KUBERNETES / name).is_file() and "example" not in name for name in kustomization["resources"])


class TestScaler:
    """KEDA's kinds have no schema in the validator, so their fields are looked at here (keda.sh, ScaledObject)."""

    def test_it_scales_the_deployment(self) -> None:
        assert (SCALED["apiVersion"], SCALED["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
        assert SCALED["spec"]["scaleTargetRef"] == {"name": DEPLOYMENT["metadata"]["name"]}
        allowed = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "advanced", "triggers"}
        assert set(SCALED["spec"]) <= allowed
        assert 1 <= SCALED["spec"]["minReplicaCount"] < SCALED["spec"]["maxReplicaCount"]

    def test_it_asks_for_the_task_queue_that_the_workers_poll(self) -> None:
        (trigger,) = SCALED["spec"]["triggers"]
        assert trigger["type"] == "temporal"
        assert trigger["metadata"] == {
            "endpoint": CONFIG["data"]["TEMPORAL_ADDRESS"],
            "namespace": CONFIG["data"]["TEMPORAL_NAMESPACE"],
            "taskQueue": CONFIG["data"]["TEMPORAL_TASK_QUEUE"],
            "queueTypes": "workflow,activity",
            "targetQueueSize": "10",
        }

    def test_it_authenticates_with_the_worker_s_key(self) -> None:
        assert (AUTHENTICATION["apiVersion"], AUTHENTICATION["kind"]) == ("keda.sh/v1alpha1", "TriggerAuthentication")
        (reference,) = AUTHENTICATION["spec"]["secretTargetRef"]
        assert reference["parameter"] == "apiKey"
        assert reference["name"] == SECRET["metadata"]["name"]
        assert reference["key"] in SECRET["stringData"]


class TestAlerts:
    RULES = ROOT / "deploy" / "prometheus" / "dbt-temporal.rules.yaml"
    CASES = RULES.with_suffix(".test.yaml")

    def names(self) -> list[str]:
        (group,) = yaml.safe_load(self.RULES.read_text())["groups"]
        return [rule["alert"] for rule in group["rules"]]

    def test_the_documentation_names_each_of_them(self) -> None:
        page = (ROOT / "docs" / "observability.md").read_text()
        assert re.findall(r"^\| `(Dbt\w+)` \|", page, re.MULTILINE) == self.names()

    def test_each_of_them_is_shown_to_fire(self) -> None:
        cases = [case for test in yaml.safe_load(self.CASES.read_text())["tests"] for case in test["alert_rule_test"]]
        assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(self.names())

    def test_one_about_a_project_s_runs_links_to_the_runs_of_that_project(self) -> None:
        (group,) = yaml.safe_load(self.RULES.read_text())["groups"]
        about_runs = [rule for rule in group["rules"] if "by (namespace, project" in rule["expr"]]
        assert len(about_runs) == 3
        for rule in about_runs:
            assert "DbtProject%3D%22{{ . }}%22" in rule["annotations"]["runs"]

    @pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
    def test_prometheus_has_them_fire_and_stay_silent_as_the_cases_say(self) -> None:
        done = subprocess.run(
            ["promtool", "test", "rules", str(self.CASES)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


class TestDashboard:
    PANELS = json.loads((ROOT / "deploy" / "grafana" / "dbt-temporal.json").read_text())["panels"]

    def expressions(self) -> list[str]:
        return [target["expr"] for panel in self.PANELS for target in panel.get("targets", [])]

    def test_what_it_counts_is_of_the_chosen_time(self) -> None:
        counters = re.compile(r"\w+_(?:total|sum|count|bucket)(?:\{[^}]*\})?(?!\w)(?P<behind>.{0,8})")
        found = [match for expr in self.expressions() for match in counters.finditer(expr)]
        assert len(found) > 20
        assert [match[0] for match in found if not match["behind"].startswith(("[$__", " offset "))] == []

    def test_what_tells_projects_apart_is_of_the_chosen_ones(self) -> None:
        of_all = {"dbt_temporal_hosts"}
        ours = {found for expr in self.expressions() for found in re.findall(r"dbt_temporal_\w+(?:\{[^}]*\})?", expr)}
        assert {each for each in ours if 'project=~"$project"' not in each} == of_all
