"""References to secrets in `env`: accepted shapes, where they are read, and that values never come out."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.secrets import SecretSettings, WorkerSecrets
from dbt_temporal.application.ports.engine import EngineRun, NodeOutcome, Prepared, Progress, ProjectLocation
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.application.secrets.revealing import resolve_env
from dbt_temporal.application.steps.messages import PlanProjectInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput, mask_env, parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.own_variables import without_own_secrets
from dbt_temporal.domain.secrets.references import EnvReference, EnvValue, FileReference, references
from dbt_temporal.entrypoints.settings import SettingsError, read_settings
from dbt_temporal.testing import FakeEngine, FakeEngineRun, ready_project, result
from tests.unit.repository.test_docs_configuration import FIELDS

LOCATION = ready_project().loaded.location
SECRET = "hunter2-hunter2"
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "secrets.md"


def invocation(env: dict[str, Any]) -> DbtInvocation:
    return DbtInvocation(
        invocation_id="i", project="shop", started_at="2026-01-01T00:00:00Z", input=parse_run_input({"env": env})
    )


def no_progress(_facts: object) -> None: ...


class TalkativeRun(FakeEngineRun):
    """Tells its environment wherever an engine can."""

    async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
        told = self._environment()
        if unique_id == "model.shop.breaks":
            raise DbtTemporalError(ErrorType.ADAPTER, f"cannot log in with {told}", retryable=False) from ValueError(
                told
            )
        if unique_id == "model.shop.explodes":
            raise RuntimeError("unforeseen") from ValueError(told)
        outcome = FakeEngine.fails(unique_id, f"refused: {told}")
        return NodeOutcome(outcome.result, outcome.error, record=f'{{"message": "{told}"}}'.encode(), log=told)

    async def artifacts(self, *_: Any, with_catalog: bool = False, with_sql: bool = False) -> dict[str, Path]:
        del with_catalog, with_sql
        file = Path(self._engine.folder.name) / "run_results.json"
        file.write_text(f'{{"message": "{self._environment()}"}}')
        return {file.name: file}

    def _environment(self) -> str:
        return " ".join(str(value) for value in self.invocation.input.env.values())


class TalkativeEngine(FakeEngine):
    """Keeps the environment of the run that was opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.run_class = TalkativeRun
        self.seen: dict[str, Any] = {}

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> FakeEngineRun:
        self.seen = dict(invocation.input.env)
        return await super().open(location, invocation)


def keeping(engine: FakeEngine, **worker_env: str) -> SecretKeepingEngine:
    return SecretKeepingEngine(
        engine, WorkerSecrets(worker_env, SecretSettings(variables=("PROD_PW", "GONE"))), worker_env
    )


async def opened(engine: FakeEngine, invocation: DbtInvocation, **worker_env: str) -> EngineRun:
    return await keeping(engine, **worker_env).open(LOCATION, invocation)


def test_an_env_takes_texts_and_references() -> None:
    env = {"A": "x", "B": {"from_env": "PROD_PW"}, "C": {"from_file": "/run/secrets/pw"}}
    run_input = parse_run_input({"env": env})
    assert run_input.env == {
        "A": "x",
        "B": EnvReference(from_env="PROD_PW"),
        "C": FileReference(from_file="/run/secrets/pw"),
    }


def test_the_examples_of_the_documentation_are_valid_inputs() -> None:
    examples = re.findall(r"```json\n(.*?)```", DOCUMENTATION.read_text(), flags=re.DOTALL)
    assert examples
    for example in examples:
        assert references(parse_run_input(json.loads(example)).env)


def test_a_reference_travels_as_it_was_given() -> None:
    run_input = parse_run_input({"env": {"B": {"from_env": "PROD_PW"}}})
    assert run_input.model_dump(mode="json", exclude_unset=True) == {"env": {"B": {"from_env": "PROD_PW"}}}
    assert DbtRunInput.model_validate_json(run_input.model_dump_json()) == run_input


@pytest.mark.parametrize(
    "value",
    [
        1, True, None, ["hunter2"], {}, {"value": "hunter2"}, {"from_env": 1}, {"from_env": ""}, {"from_env": None},
        {"from_env": "A", "from_file": "/b"}, {"from_env": "A", "hunter2": "hunter2"}, {"from_file": "hunter2"},
    ],
)  # fmt: skip
def test_any_other_shape_is_refused_by_its_key_and_never_shown(value: Any) -> None:
    with pytest.raises(DbtTemporalError) as caught:
        parse_run_input({"env": {"DB_PASSWORD": value}})
    assert caught.value.error_type is ErrorType.CONFIGURATION
    assert "`env.DB_PASSWORD`: must be a string, {" in caught.value.message
    # The chain of causes becomes part of the failure in history.
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_an_activity_input_that_cannot_be_read_does_not_tell_its_values() -> None:
    sent = {"invocation_id": "i", "started_at": "t", "input": {"env": {"A": ["hunter2"]}, "unknown": "hunter2"}}
    with pytest.raises(ValidationError) as caught:
        PlanProjectInput.model_validate_json(json.dumps(sent))
    assert "input.env.A" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_references_are_masked_like_values_for_hooks() -> None:
    masked = mask_env(parse_run_input({"env": {"A": "x", "B": {"from_env": "PROD_PW"}}}))
    assert masked.model_dump(mode="json")["env"] == {"A": "***", "B": "***"}


async def test_references_are_read_from_the_worker(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("from the file\n")
    secrets = WorkerSecrets(
        {"PROD_PW": "from the environment"}, SecretSettings(variables=("PROD_PW",), folders=(tmp_path,))
    )
    env: dict[str, EnvValue] = {
        "A": "x",
        "B": EnvReference(from_env="PROD_PW"),
        "C": FileReference(from_file=str(tmp_path / "pw")),
    }
    assert await resolve_env(env, secrets) == {"A": "x", "B": "from the environment", "C": "from the file"}


async def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    secrets = WorkerSecrets({}, SecretSettings(folders=(tmp_path,)))
    for value in ("first", "second"):
        file.write_text(value)
        assert await secrets.resolve(FileReference(from_file=str(file))) == value


async def test_every_missing_secret_is_named_with_its_key_and_reference(tmp_path: Path) -> None:
    secrets = WorkerSecrets({"OTHER": SECRET}, SecretSettings(variables=("GONE", "OTHER"), folders=(tmp_path,)))
    env: dict[str, EnvValue] = {
        "A": EnvReference(from_env="GONE"),
        "B": FileReference(from_file=str(tmp_path / "gone")),
        "C": EnvReference(from_env="OTHER"),
    }
    with pytest.raises(DbtTemporalError) as caught:
        await resolve_env(env, secrets)
    assert caught.value.error_type is ErrorType.CONFIGURATION
    assert "env.A (from_env 'GONE'): this variable is not set on the worker" in caught.value.message
    assert f"env.B (from_file '{tmp_path / 'gone'}'): the file cannot be read on the worker" in caught.value.message
    assert "env.C" not in caught.value.message
    assert SECRET not in caught.value.message


async def test_files_elsewhere_are_not_read_even_by_links(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "secrets", tmp_path / "outside"
    allowed.mkdir()
    outside.write_text(SECRET)
    (allowed / "link").symlink_to(outside)
    secrets = WorkerSecrets({}, SecretSettings(folders=(allowed,)))
    for path in (outside, allowed / "link", allowed / ".." / "outside", tmp_path / "no-such-file"):
        with pytest.raises(LookupError, match="in no folder for secrets"):
            await secrets.resolve(FileReference(from_file=str(path)))


async def test_files_that_hold_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    secrets = WorkerSecrets({}, SecretSettings(folders=(tmp_path,)))
    for name, said in (("binary", "not a text"), ("large", "larger than 1 MiB"), (".", "cannot be read")):
        with pytest.raises(LookupError, match=said):
            await secrets.resolve(FileReference(from_file=str(tmp_path / name)))


OWN = [
    "TEMPORAL_API_KEY", "TEMPORAL_CODEC_KEYS", "TEMPORAL_TLS_CLIENT_KEY_DATA", "TEMPORAL_TLS_CLIENT_CERT_DATA",
    "TEMPORAL_TLS_KEY", "TEMPORAL_GRPC_META_AUTHORIZATION", "TEMPORAL_METRICS_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "DBT_TEMPORAL_CODEC_SERVER_TOKEN",
    "GITHUB_TOKEN", "GIT_TOKEN", "OPENLINEAGE_API_KEY", "OPENLINEAGE__TRANSPORT__AUTH",
]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
async def test_the_workers_own_credentials_cannot_be_referenced_whatever_is_allowed(name: str) -> None:
    secrets = WorkerSecrets({name: SECRET}, SecretSettings(variables=("*", name)))
    with pytest.raises(LookupError, match="no run may read"):
        await secrets.resolve(EnvReference(from_env=name))


def test_dbt_sees_the_workers_environment_without_its_credentials() -> None:
    others = {"AWS_SECRET_ACCESS_KEY": "a", "DBT_ENV_SECRET_X": "b", "OTEL_EXPORTER_OTLP_ENDPOINT": "c", "HEADERS": "d"}
    assert without_own_secrets({**dict.fromkeys(OWN, SECRET), **others}) == others


def test_every_setting_that_is_a_secret_is_one_of_the_workers_own_credentials() -> None:
    secret = [name for name, field in FIELDS.items() if "SecretStr" in str(field.annotation)]
    assert len(secret) >= 5
    assert without_own_secrets(dict.fromkeys(secret, SECRET)) == {}


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "PATH", "DBT_ENV_SECRETS", "dbt_env_secret_x", "DB_PASSWORD"]
)
async def test_by_default_runs_may_name_dbts_secret_variables_alone(name: str) -> None:
    secrets = WorkerSecrets({name: SECRET, "DBT_ENV_SECRET_X": "x"})
    assert await secrets.resolve(EnvReference(from_env="DBT_ENV_SECRET_X")) == "x"
    allowed = r"runs may not name this variable of the worker \(DBT_ENV_SECRET_\*; see DBT_TEMPORAL_SECRET_ENV\)"
    with pytest.raises(LookupError, match=allowed):
        await secrets.resolve(EnvReference(from_env=name))


async def test_runs_may_name_the_variables_that_the_setting_lists() -> None:
    settings = read_settings({"DBT_TEMPORAL_SECRET_ENV": "PROD_PW, TEAM_*_PASSWORD"}).secrets
    secrets = WorkerSecrets({"PROD_PW": "1", "TEAM_A_PASSWORD": "2", "DBT_ENV_SECRET_X": "3"}, settings)
    assert await secrets.resolve(EnvReference(from_env="PROD_PW")) == "1"
    assert await secrets.resolve(EnvReference(from_env="TEAM_A_PASSWORD")) == "2"
    for name in ("DBT_ENV_SECRET_X", "PROD_PW_2", "TEAM_PASSWORD"):
        with pytest.raises(LookupError, match=r"PROD_PW, TEAM_\*_PASSWORD; see"):
            await secrets.resolve(EnvReference(from_env=name))


@pytest.mark.parametrize("value", [",", "A B", "A=1", "A,-"])
def test_names_of_secret_variables_are_checked_at_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match=r"DBT_TEMPORAL_SECRET_ENV='.*': must be a comma-separated list of names"):
        read_settings({"DBT_TEMPORAL_SECRET_ENV": value})


def test_folders_of_secrets_are_checked_at_the_start() -> None:
    settings = read_settings({"DBT_TEMPORAL_SECRET_DIRS": "/etc/a, /etc/b"})
    assert settings.secrets.folders == (Path("/etc/a"), Path("/etc/b"))
    with pytest.raises(SettingsError, match="DBT_TEMPORAL_SECRET_DIRS='etc/a': must be a comma-separated list"):
        read_settings({"DBT_TEMPORAL_SECRET_DIRS": "etc/a"})


async def test_an_env_with_references_left_does_not_pass_for_a_plain_one(tmp_path: Path) -> None:
    engine = DbtCoreEngine(tmp_path)
    with pytest.raises(DbtTemporalError, match=r"references that nothing resolved: env\.A"):
        await engine.open(LOCATION, invocation({"A": {"from_env": "X"}}))
    await engine.close()


async def test_the_engine_gets_values_and_nothing_that_it_says_holds_them() -> None:
    engine = TalkativeEngine()
    asked = invocation({"LOGIN": {"from_env": "PROD_PW"}, "DB_SCHEMA": "analytics"})
    outcome = await (await opened(engine, asked, PROD_PW=SECRET)).execute_node("model.shop.a", no_progress)
    assert engine.seen == {"LOGIN": SECRET, "DB_SCHEMA": "analytics"}
    assert outcome.result.message == "refused: *** analytics"
    assert outcome.log == "*** analytics"
    assert outcome.record == b'{"message": "*** analytics"}'
    assert outcome.error is not None


async def test_errors_of_the_engine_lose_secrets_and_their_causes() -> None:
    asked = invocation({"DB_PASSWORD": SECRET})
    with pytest.raises(DbtTemporalError) as caught:
        await (await opened(TalkativeEngine(), asked)).execute_node("model.shop.breaks", no_progress)
    assert caught.value.message == "cannot log in with ***"
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, False)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_unforeseen_errors_lose_secrets_too() -> None:
    asked = invocation({"DB_PASSWORD": SECRET})
    with pytest.raises(DbtTemporalError, match=r"unexpected error: RuntimeError: unforeseen") as caught:
        await (await opened(TalkativeEngine(), asked)).execute_node("model.shop.explodes", no_progress)
    assert caught.value.error_type is ErrorType.ENGINE_CRASHED
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(RuntimeError):
        await (await opened(TalkativeEngine(), invocation({}))).execute_node("model.shop.explodes", no_progress)


async def test_what_dbt_is_had_to_say_holds_no_secrets() -> None:
    engine = FakeEngine()
    engine.prepared = Prepared(messages=[f"logged in with {SECRET}"])
    engine.script["model.shop.a"] = [NodeOutcome(result("a", messages=f"printed\n{SECRET}"))]
    run = await opened(engine, invocation({"DB_PASSWORD": SECRET}))
    assert (await run.before_run(no_progress)).messages == ["logged in with ***"]
    assert (await run.execute_node("model.shop.a", no_progress)).result.messages == "printed\n***"


async def test_artifacts_hold_no_secrets() -> None:
    asked = invocation({"DB_PASSWORD": SECRET, "DBT_ENV_SECRET_X": "also-hidden"})
    engine = TalkativeEngine()
    artifacts = await (await opened(engine, asked)).artifacts([], 1.0)
    contents = {name: file.read_bytes() for name, file in artifacts.items()}
    assert contents == {"run_results.json": b'{"message": "*** ***"}'}


async def test_the_sql_of_a_run_holds_no_long_secrets_and_is_left_alone_without_them() -> None:
    engine = FakeEngine()
    engine.sql = {"compiled/a.sql": f"select '{SECRET}', 'abcd'", "run/a.sql": "select 1"}
    asked = invocation({"DB_PASSWORD": SECRET, "API_TOKEN": "abcd"})
    artifacts = await (await opened(engine, asked)).artifacts([], 1.0, with_sql=True)
    sql = {name: artifacts[name].read_text() for name in engine.sql}
    assert sql == {"compiled/a.sql": "select '***', 'abcd'", "run/a.sql": "select 1"}


async def test_a_run_whose_secret_is_missing_can_still_be_ended() -> None:
    engine = FakeEngine()
    asked = invocation({"A": {"from_env": "GONE"}})
    with pytest.raises(DbtTemporalError, match=r"env\.A"):
        await keeping(engine).open(LOCATION, asked)
    await keeping(engine).end_run(asked.invocation_id)
    assert engine.ended_runs == ["i"]
