from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dbt_temporal.entrypoints.settings import (
    Settings,
    SettingsError,
    default_cache_dir,
    read_health_file,
    read_settings,
)


def value(settings: Settings, path: str) -> Any:
    found: Any = settings
    for name in path.split("."):
        found = getattr(found, name)
    return found.get_secret_value() if isinstance(found, SecretStr) else found


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("connection.address", "http://localhost:7233"),
        ("connection.namespace", "default"),
        ("connection.task_queue", "dbt-tasks"),
        ("connection.api_key", None),
        ("connection.tls_cert", None),
        ("connection.tls_key", None),
        ("tuning.poller_autoscaling", False),
        ("tuning.priority_scheduling", False),
        ("versioning.deployment_name", None),
        ("versioning.build_id", None),
        ("engine.max_hosts", None),
        ("engine.host_idle_secs", 120.0),
        ("engine.host_memory_mb", None),
        ("engine.max_projects", 8),
        ("engine.projects_memory_mb", 4096),
        ("projects.project_dirs", ()),
        ("projects.projects_dir", None),
        ("projects.project_dir", None),
        ("projects.profiles_dir", None),
        ("projects.target", None),
        ("projects.git_token", None),
        ("projects.deps", "auto"),
        ("source_limits.timeout_secs", 300.0),
        ("source_limits.max_mb", 1024),
        ("artifacts.write_artifacts", False),
        ("artifacts.store", "/tmp/dbt-artifacts"),
        ("artifacts.write_run_log", True),
        ("artifacts.write_catalog", False),
        ("search_attributes", {}),
        ("health.port", None),
        ("health.file", None),
        ("health.beat_file", None),
        ("tuning.tuner", "fixed"),
        ("tuning.max_concurrent_workflow_tasks", 200),
        ("tuning.max_concurrent_activities", 100),
        ("tuning.max_concurrent_local_activities", 100),
        ("tuning.target_memory", 0.8),
        ("tuning.target_cpu", 0.9),
        ("tuning.activity_min_slots", 1),
        ("tuning.activity_max_slots", 500),
        ("tuning.max_cached_workflows", 1000),
        ("tuning.sticky_queue_timeout_secs", 10.0),
        ("tuning.nonsticky_to_sticky_poll_ratio", 0.2),
        ("tuning.max_activities_per_second", None),
        ("tuning.max_task_queue_activities_per_second", None),
        ("tuning.graceful_shutdown_secs", None),
    ],
)
def test_each_setting_has_its_default(field: str, default: object) -> None:
    assert value(read_settings({}), field) == default


@pytest.mark.parametrize(
    ("name", "text", "field", "read"),
    [
        ("TEMPORAL_ADDRESS", "temporal.example:7234", "connection.target", "temporal.example:7234"),
        ("TEMPORAL_ADDRESS", "https://temporal.example", "connection.target", "temporal.example:7233"),
        ("TEMPORAL_ADDRESS", "https://temporal.example", "connection.tls", True),
        ("TEMPORAL_ADDRESS", "http://[::1]:7000", "connection.target", "[::1]:7000"),
        ("TEMPORAL_ADDRESS", "http://temporal.example", "connection.tls", False),
        ("TEMPORAL_NAMESPACE", "prod", "connection.namespace", "prod"),
        ("TEMPORAL_TASK_QUEUE", "mine", "connection.task_queue", "mine"),
        ("TEMPORAL_API_KEY", "k", "connection.api_key", "k"),
        ("TEMPORAL_API_KEY", "k", "connection.tls", True),
        ("DBT_PROJECT_DIRS", "/a, /b,", "projects.project_dirs", ("/a", "/b")),
        ("DBT_PROJECTS_DIR", "/a", "projects.projects_dir", "/a"),
        ("DBT_PROJECT_DIR", "/a", "projects.project_dir", "/a"),
        ("DBT_PROFILES_DIR", "/tmp", "projects.profiles_dir", Path("/tmp")),
        ("DBT_TARGET", "prod", "projects.target", "prod"),
        ("GITHUB_TOKEN", "t", "projects.git_token", "t"),
        ("GIT_TOKEN", "t", "projects.git_token", "t"),
        ("DBT_DEPS", "never", "projects.deps", "never"),
        ("DBT_TEMPORAL_SOURCE_TIMEOUT_SECS", "2.5", "source_limits.timeout_secs", 2.5),
        ("DBT_TEMPORAL_SOURCE_MAX_MB", "7", "source_limits.max_bytes", 7 * 1024 * 1024),
        ("DBT_TEMPORAL_MAX_PARSED_PROJECTS", "3", "engine.max_projects", 3),
        ("DBT_TEMPORAL_PARSED_PROJECTS_MB", "3", "engine.projects_memory_bytes", 3 * 1024 * 1024),
        ("WRITE_ARTIFACTS", "true", "artifacts.write_artifacts", True),
        ("ARTIFACT_STORE", "s3://b/p", "artifacts.store", "s3://b/p"),
        ("WRITE_RUN_LOG", "FALSE", "artifacts.write_run_log", False),
        ("WRITE_REPORT", "false", "artifacts.write_report", False),
        ("WRITE_CATALOG", "1", "artifacts.write_catalog", True),
        ("ARTIFACT_LATEST", "always", "artifacts.latest", "always"),
        ("TEMPORAL_SEARCH_ATTRIBUTES", '{"team":"data"}', "search_attributes", {"team": "data"}),
        ("HEALTH_PORT", "8080", "health.port", 8080),
        ("HEALTH_PORT", "8080", "health.beat_file", Path("/tmp/health")),
        ("HEALTH_FILE", "/tmp/alive", "health.beat_file", Path("/tmp/alive")),
        ("WORKER_TUNER", "resource-based", "tuning.tuner", "resource-based"),
        ("WORKER_MAX_CONCURRENT_WORKFLOW_TASKS", "5", "tuning.max_concurrent_workflow_tasks", 5),
        ("WORKER_MAX_CONCURRENT_ACTIVITIES", "5", "tuning.max_concurrent_activities", 5),
        ("WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES", "5", "tuning.max_concurrent_local_activities", 5),
        ("WORKER_RESOURCE_TARGET_MEM", "0.5", "tuning.target_memory", 0.5),
        ("WORKER_RESOURCE_TARGET_CPU", "0.5", "tuning.target_cpu", 0.5),
        ("WORKER_RESOURCE_ACTIVITY_MIN_SLOTS", "2", "tuning.activity_min_slots", 2),
        ("WORKER_RESOURCE_ACTIVITY_MAX_SLOTS", "7", "tuning.activity_max_slots", 7),
        ("WORKER_MAX_CACHED_WORKFLOWS", "0", "tuning.max_cached_workflows", 0),
        ("WORKER_STICKY_QUEUE_TIMEOUT_SECS", "2.5", "tuning.sticky_queue_timeout_secs", 2.5),
        ("WORKER_NONSTICKY_TO_STICKY_POLL_RATIO", "0.4", "tuning.nonsticky_to_sticky_poll_ratio", 0.4),
        ("WORKER_MAX_ACTIVITIES_PER_SECOND", "9.5", "tuning.max_activities_per_second", 9.5),
        ("WORKER_MAX_TASK_QUEUE_ACTIVITIES_PER_SECOND", "9", "tuning.max_task_queue_activities_per_second", 9.0),
        ("WORKER_GRACEFUL_SHUTDOWN_SECS", "30", "tuning.graceful_shutdown_secs", 30.0),
    ],
)
def test_each_variable_is_read(name: str, text: str, field: str, read: object) -> None:
    assert value(read_settings({name: text}), field) == read


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("DBT_DEPS", "sometimes", "must be auto, always or never"),
        ("DBT_TEMPORAL_SOURCE_TIMEOUT_SECS", "0", "must be a number of seconds above 0"),
        ("DBT_TEMPORAL_SOURCE_MAX_MB", "0", "must be a number of megabytes, at least 1"),
        ("TEMPORAL_ADDRESS", "grpc://x", "http://host:port, https://host:port or host:port"),
        ("TEMPORAL_ADDRESS", "host:port", "the port must be a number"),
        ("TEMPORAL_ADDRESS", "http://x/path", "nothing else"),
        ("TEMPORAL_TLS_CERT", "/does/not/exist", "cannot be read"),
        ("TEMPORAL_TLS_KEY", "/dev/null", "is not a PEM file"),
        ("DBT_PROJECT_DIRS", ",", "a comma-separated list of folders or URLs"),
        ("DBT_PROFILES_DIR", "/does/not/exist", "give the folder of profiles.yml"),
        ("WRITE_ARTIFACTS", "perhaps", "true or false"),
        ("WRITE_RUN_LOG", "perhaps", "true or false"),
        ("WRITE_CATALOG", "perhaps", "true or false"),
        ("TEMPORAL_SEARCH_ATTRIBUTES", "team=data", "a JSON object of strings"),
        ("TEMPORAL_SEARCH_ATTRIBUTES", '{"a": 1}', "a JSON object of strings"),
        ("HEALTH_PORT", "99999", "a port number from 1 to 65535"),
        ("HEALTH_FILE", "/does/not/exist/health", "the folder of this file"),
        ("HEALTH_FILE", "/tmp", "is a folder: give the path of a file"),
        ("DBT_TEMPORAL_CACHE_DIR", "/dev/null/x", "a folder that can be created and written"),
        ("WORKER_TUNER", "auto", "fixed or resource-based"),
        ("WORKER_MAX_CONCURRENT_WORKFLOW_TASKS", "1", "a whole number of at least 2"),
        ("WORKER_MAX_CONCURRENT_ACTIVITIES", "many", "a whole number of at least 1"),
        ("WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES", "0", "a whole number of at least 1"),
        ("WORKER_RESOURCE_TARGET_MEM", "80", "a number above 0 and up to 1"),
        ("WORKER_RESOURCE_TARGET_CPU", "0", "a number above 0 and up to 1"),
        ("WORKER_RESOURCE_ACTIVITY_MIN_SLOTS", "0", "a whole number of at least 1"),
        ("WORKER_RESOURCE_ACTIVITY_MAX_SLOTS", "1.5", "a whole number of at least 1"),
        ("WORKER_MAX_CACHED_WORKFLOWS", "-1", "a whole number of at least 0"),
        ("WORKER_STICKY_QUEUE_TIMEOUT_SECS", "inf", "a number of seconds above 0"),
        ("WORKER_NONSTICKY_TO_STICKY_POLL_RATIO", "1.5", "a number from 0 to 1"),
        ("WORKER_MAX_ACTIVITIES_PER_SECOND", "0", "a number above 0"),
        ("WORKER_MAX_TASK_QUEUE_ACTIVITIES_PER_SECOND", "nan", "a number above 0"),
        ("WORKER_GRACEFUL_SHUTDOWN_SECS", "-1", "a number of seconds from 0"),
        ("DBT_TEMPORAL_MAX_HOSTS", "0", "must be a whole number of at least 1"),
        ("DBT_TEMPORAL_HOST_IDLE_SECS", "0", "must be a number of seconds above 0"),
        ("DBT_TEMPORAL_HOST_MEMORY_MB", "1GB", "must be a whole number of at least 1"),
        ("DBT_TEMPORAL_MAX_PARSED_PROJECTS", "-1", "must be a whole number of at least 1"),
        ("TEMPORAL_PRIORITY_SCHEDULING", "perhaps", "must be true or false"),
        ("WORKER_POLLER_AUTOSCALING", "perhaps", "must be true or false"),
        ("DBT_TEMPORAL_PARSED_PROJECTS_MB", "0", "must be a whole number of at least 1"),
    ],
)
def test_an_invalid_value_is_told_with_its_variable_and_what_is_allowed(name: str, text: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({name: text})
    problem = next(problem for problem in caught.value.problems if problem.startswith(f"{name}="))
    assert repr(text) in problem
    assert allowed in problem


def test_all_problems_are_told_at_once_contradictions_included() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(
            {
                "WORKER_TUNER": "x",
                "HEALTH_PORT": "x",
                "WORKER_RESOURCE_ACTIVITY_MIN_SLOTS": "9",
                "WORKER_RESOURCE_ACTIVITY_MAX_SLOTS": "3",
            }
        )
    assert [problem.split("=")[0] for problem in caught.value.problems] == [
        "WORKER_TUNER",
        "WORKER_RESOURCE_ACTIVITY_MIN_SLOTS",
        "HEALTH_PORT",
    ]


def test_a_client_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    pem = tmp_path / "cert.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(SettingsError, match="TEMPORAL_TLS_KEY: must be set as well, because TEMPORAL_TLS_CERT is set"):
        read_settings({"TEMPORAL_TLS_CERT": str(pem)})
    with pytest.raises(SettingsError, match="TEMPORAL_TLS_CERT: must be set as well, because TEMPORAL_TLS_KEY is set"):
        read_settings({"TEMPORAL_TLS_KEY": str(pem)})
    assert read_settings({"TEMPORAL_TLS_CERT": str(pem), "TEMPORAL_TLS_KEY": str(pem)}).connection.tls


def test_secrets_are_not_shown() -> None:
    settings = read_settings({"TEMPORAL_API_KEY": "s3cret", "GITHUB_TOKEN": "t0ken"})
    assert "s3cret" not in repr(settings)
    assert "t0ken" not in repr(settings)


def test_github_token_comes_before_git_token() -> None:
    assert value(read_settings({"GIT_TOKEN": "b", "GITHUB_TOKEN": "a"}), "projects.git_token") == "a"


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings({"WORKER_TUNER": " ", "HEALTH_PORT": ""}) == read_settings({})


def test_the_cache_lies_in_the_users_cache_folder(tmp_path: Path) -> None:
    assert default_cache_dir({"HOME": str(tmp_path)}) == tmp_path / ".cache" / "dbt-temporal"
    assert default_cache_dir({"HOME": "/x", "XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "dbt-temporal"


def test_without_a_writable_home_the_cache_lies_in_the_temporary_folder() -> None:
    assert default_cache_dir({"HOME": "/dev/null"}).name.startswith("dbt-temporal-")
    assert default_cache_dir({}).name.startswith("dbt-temporal-")


def test_a_given_cache_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert read_settings({"DBT_TEMPORAL_CACHE_DIR": str(folder)}).cache_dir == folder
    assert folder.is_dir()


def test_a_projects_folder_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DBT_TEMPORAL_CACHE_DIR=.*must not be a project's folder"):
        read_settings({"DBT_TEMPORAL_CACHE_DIR": str(tmp_path), "DBT_PROJECT_DIR": str(tmp_path)})


def test_the_healthcheck_reads_one_variable_only() -> None:
    assert read_health_file({"HEALTH_PORT": "nonsense"}) == Path("/tmp/health")
    assert read_health_file({"HEALTH_FILE": "/tmp/x"}) == Path("/tmp/x")


def problems(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    return str(caught.value)


def test_a_deployment_needs_its_name_and_its_build() -> None:
    told = problems(TEMPORAL_DEPLOYMENT_NAME="dbt")
    assert "TEMPORAL_WORKER_BUILD_ID: must be set as well, because TEMPORAL_DEPLOYMENT_NAME is set" in told
    assert "TEMPORAL_DEPLOYMENT_NAME: must be set as well" in problems(TEMPORAL_WORKER_BUILD_ID="1")
    both = problems(TEMPORAL_DEPLOYMENT_NAME="a.b", TEMPORAL_WORKER_BUILD_ID="1")
    assert "TEMPORAL_DEPLOYMENT_NAME='a.b': must have no dot" in both


def test_a_missing_configuration_file_or_profile_of_temporal_is_told(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    assert f"TEMPORAL_CONFIG_FILE='{file}': there is no such file" in problems(TEMPORAL_CONFIG_FILE=str(file))
    file.write_text('[profile.default]\naddress = "cloud:7233"\n')
    told = problems(TEMPORAL_CONFIG_FILE=str(file), TEMPORAL_PROFILE="prod")
    assert "TEMPORAL_PROFILE): Profile 'prod' not found" in told


def test_our_variables_come_before_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.default]\naddress = "cloud:7233"\nnamespace = "theirs"\napi_key = "k"\n')
    connection = read_settings({"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_NAMESPACE": "ours"}).connection
    assert connection.describe() == "Temporal at cloud:7233, namespace 'ours', TLS, API key"
    plain = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_TLS": "false"}
    assert not read_settings(plain).connection.tls


def test_a_half_client_certificate_in_a_profile_is_told() -> None:
    pem = "-----BEGIN CERTIFICATE-----"
    assert "must be set together" in problems(TEMPORAL_TLS_CLIENT_CERT_DATA=pem)


def test_variables_are_named_in_capitals_only() -> None:
    assert read_settings({"namespace": "x", "port": "http", "profile": "y"}).connection.namespace == "default"


@pytest.mark.parametrize(
    ("environ", "shares"),
    [
        ({}, False),  # anybody may write into the default store
        ({"ARTIFACT_STORE": ""}, False),
        ({"ARTIFACT_STORE": "s3://bucket"}, True),
        ({"ARTIFACT_STORE": "s3://bucket", "DBT_TEMPORAL_SHARE_PARSES": "false"}, False),
        ({"DBT_TEMPORAL_SHARE_PARSES": "true"}, False),
    ],
)
def test_parses_are_shared_by_a_store_that_is_named(environ: dict[str, str], shares: bool) -> None:
    assert read_settings(environ).artifacts.shares_parses is shares
