"""Secrets of a run through the real engine: dbt has them, and nothing that leaves it does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dbt_temporal.adapters.secrets import SecretSettings, WorkerSecrets
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.domain.errors import DbtTemporalError
from tests.integration.engine_driver import DrivenRun, drive, new_invocation, open_engine, opened, write_files

pytestmark = pytest.mark.every_dbt_version

TOKEN = 'tok"en-0123456789'
FROM_FILE = "file-0123456789"
WORKER_SECRET = "worker-0123456789"
ORDINARY_WORD = "current_timestamp"
"""A password that stands in names and code of dbt's own macros."""
OWN_CREDENTIALS = (
    "TEMPORAL_API_KEY",
    "TEMPORAL_CODEC_KEYS",
    "TEMPORAL_TLS_CLIENT_KEY_DATA",
    "TEMPORAL_GRPC_META_AUTHORIZATION",
    "TEMPORAL_METRICS_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OPENLINEAGE_API_KEY",
    "OPENLINEAGE__TRANSPORT__AUTH",
    "DBT_TEMPORAL_CODEC_SERVER_TOKEN",
    "GITHUB_TOKEN",
    "GIT_TOKEN",
)

PROJECT = {
    "dbt_project.yml": "name: leaky\nprofile: leaky\nmodels: {leaky: {+materialized: table}}\n",
    "profiles.yml": """
leaky:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('LEAKY_DB') }}"
      schema: "{{ env_var('DB_SCHEMA') }}"
      config_options: {custom_user_agent: "{{ env_var('DBT_ENV_SECRET_AGENT') }}"}
""",
    "models/fine.sql": "select '{{ env_var(\"API_TOKEN\") }}' as token, length('{{ env_var(\"LOGIN\") }}') as size",
    "models/reads.sql": "select * from {{ ref('fine') }}",
    "models/leaks.sql": """
{{ log('token ' ~ env_var('API_TOKEN'), info=true) }}
select '{{ env_var("LOGIN") }}'::int as x
""",
    "models/dated.sql": "select {{ dbt.current_timestamp() }} as loaded_at",
    "models/own.sql": f"""
{{% for name in {OWN_CREDENTIALS} %}} select '{{{{ env_var(name, 'unset') }}}}' as value union all {{% endfor %}}
select '{{{{ env_var('PROD_TOKEN') }}}}'
""",
    "models/raises.sql": """
{% if execute %}{{ exceptions.raise_compiler_error('no ' ~ env_var('API_TOKEN')) }}{% endif %}
""",
}


def project_in(folder: Path) -> ProjectLocation:
    write_files(folder, PROJECT)
    return ProjectLocation(project_dir=folder, profiles_dir=folder)


@pytest.fixture(scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> DrivenRun:
    """One run of the project, with secrets from the environment, from a file and from the worker."""
    tmp_path = tmp_path_factory.mktemp("secrets")
    location = project_in(tmp_path / "leaky")
    environ = {
        **os.environ,
        "PROD_TOKEN": TOKEN,
        "DBT_ENV_SECRET_AGENT": WORKER_SECRET,
        "DBT_ENV_SECRET_PASSWORD": ORDINARY_WORD,
        **dict.fromkeys(OWN_CREDENTIALS, "0wn-0123456789"),
    }
    folder = tmp_path / "secrets"
    write_files(folder, {"login": f"{FROM_FILE}\n"})
    invocation = new_invocation(
        env={
            "LEAKY_DB": str(tmp_path / "leaky.duckdb"),
            "DB_SCHEMA": "analytics_of_team_a",
            "API_TOKEN": {"from_env": "PROD_TOKEN"},
            "LOGIN": {"from_file": str(folder / "login")},
        }
    )
    async with open_engine(tmp_path / "cache", environ=environ) as inner:
        resolver = WorkerSecrets(environ, SecretSettings(variables=("PROD_*",), folders=(folder,)))
        return await drive(SecretKeepingEngine(inner, resolver, environ), location, invocation)


def test_dbt_has_the_secrets_and_nothing_that_leaves_it_holds_them(run: DrivenRun) -> None:
    assert run.statuses() == {
        "model.leaky.fine": "success",
        "model.leaky.reads": "success",
        "model.leaky.dated": "success",
        "model.leaky.own": "success",
        "model.leaky.leaks": "error",
        "model.leaky.raises": "error",
    }
    results = json.loads(run.artifacts["run_results.json"])["results"]
    seen = "\n".join(
        [
            *(json.dumps([result["message"], result["adapter_response"]]) for result in results),
            *(outcome.result.model_dump_json() for outcome in run.outcomes.values()),
            *(outcome.log for outcome in run.outcomes.values()),
        ]
    )
    for secret in (TOKEN, json.dumps(TOKEN)[1:-1], FROM_FILE, WORKER_SECRET):
        assert secret not in seen
    message = run.outcomes["model.leaky.leaks"].result.message or ""
    assert "Could not convert string '***'" in message
    assert "token ***" in run.outcomes["model.leaky.leaks"].log
    assert "no ***" in (run.outcomes["model.leaky.raises"].result.message or "")


def test_dbt_does_not_see_the_workers_own_credentials(run: DrivenRun) -> None:
    manifest = json.loads(run.artifacts["manifest.json"])
    code = manifest["nodes"]["model.leaky.own"]["compiled_code"]
    assert (code.count("'unset'"), code.count(TOKEN)) == (len(OWN_CREDENTIALS), 1)


def test_code_stands_in_the_artifacts_as_dbt_writes_it(run: DrivenRun) -> None:
    results = json.loads(run.artifacts["run_results.json"])["results"]
    [fine] = [result for result in results if result["unique_id"] == "model.leaky.fine"]
    assert fine["compiled_code"] == f"select '{TOKEN}' as token, length('{FROM_FILE}') as size"
    manifest = json.loads(run.artifacts["manifest.json"])
    assert manifest["nodes"]["model.leaky.fine"]["compiled_code"] == fine["compiled_code"]
    # What travels through Temporal is redacted all the same.
    assert run.outcomes["model.leaky.fine"].result.compiled_code in (
        None,
        "select '***' as token, length('***') as size",
    )
    macro = manifest["macros"][f"macro.dbt.{ORDINARY_WORD}"]
    assert macro["name"] == ORDINARY_WORD
    assert f"macro {ORDINARY_WORD}()" in macro["macro_sql"]


async def test_a_password_that_is_an_ordinary_word_modifies_nothing(run: DrivenRun, tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_files(state, {"manifest.json": run.artifacts["manifest.json"].decode()})
    location = project_in(tmp_path / "leaky")
    env = {"LEAKY_DB": str(tmp_path / "leaky.duckdb"), "DB_SCHEMA": "analytics_of_team_a"}
    invocation = new_invocation(
        command="list",
        select="state:modified",
        state_manifest_ref=str(state / "manifest.json"),
        env=env | {"API_TOKEN": TOKEN, "LOGIN": FROM_FILE},
    )
    secrets = {"DBT_ENV_SECRET_AGENT": WORKER_SECRET, "DBT_ENV_SECRET_PASSWORD": ORDINARY_WORD, "PROD_TOKEN": TOKEN}
    environ = {**os.environ, **secrets}
    async with open_engine(tmp_path / "cache", environ=environ) as inner:
        plan = await opened(SecretKeepingEngine(inner, WorkerSecrets({}), environ), location, invocation).plan()
    assert plan.plan.nodes == {}


def test_a_schema_given_by_env_stands_in_the_artifacts_as_dbt_writes_it(run: DrivenRun) -> None:
    results = json.loads(run.artifacts["run_results.json"])["results"]
    [reads] = [result for result in results if result["unique_id"] == "model.leaky.reads"]
    assert reads["compiled_code"] == 'select * from "leaky"."analytics_of_team_a"."fine"'
    manifest = json.loads(run.artifacts["manifest.json"])
    assert manifest["nodes"]["model.leaky.fine"]["schema"] == "analytics_of_team_a"


async def test_a_project_is_not_planned_with_a_secret_missing(tmp_path: Path) -> None:
    invocation = new_invocation(env={"API_TOKEN": {"from_env": "NOBODY_SET_THIS"}})
    async with open_engine(tmp_path / "cache", environ=dict(os.environ)) as inner:
        engine = SecretKeepingEngine(inner, WorkerSecrets({}, SecretSettings(variables=("*",))), {})
        with pytest.raises(DbtTemporalError, match=r"env\.API_TOKEN \(from_env 'NOBODY_SET_THIS'\)"):
            await opened(engine, project_in(tmp_path / "leaky"), invocation).plan()
