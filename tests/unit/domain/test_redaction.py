"""What counts as a secret of a run, and where it is replaced."""

from __future__ import annotations

import json

import pytest

from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.secrets.redaction import Redactor, names_a_secret, secret_values
from dbt_temporal.testing import result


@pytest.mark.parametrize(
    "key",
    [
        "DB_PASSWORD", "db_password", "PGPASSWORD", "DB_PASSWORD_1", "MYSQL_PWD", "DB_PASS2", "API_KEY", "APIKEY",
        "SNOWFLAKE_PRIVATE_KEY", "PRIVATE_KEY_PASSPHRASE", "GITHUB_TOKEN", "CLIENT_SECRET", "DBT_ENV_SECRET_X",
        "GOOGLE_CREDENTIALS_JSON", "GITLAB_PAT",
    ],
)  # fmt: skip
def test_a_name_tells_a_secret(key: str) -> None:
    assert names_a_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "DB_SCHEMA", "DB_HOST", "TARGET", "KEYSPACE", "MONKEY", "COMPASS", "AWS_ACCESS_KEY_ID", "TOKEN_URL", "1", "",
        "PRIVATE_KEY_PATH", "PARTITION_KEY_COLUMN", "PATTERN",
    ],
)  # fmt: skip
def test_other_names_do_not(key: str) -> None:
    assert not names_a_secret(key)


def test_a_schema_given_by_env_is_no_secret() -> None:
    env = {"DB_SCHEMA": "analytics_a", "DB_PASSWORD": "hunter2-hunter2"}
    assert secret_values(env) == {"hunter2-hunter2"}


def test_what_came_by_reference_is_secret_whatever_its_name() -> None:
    assert secret_values({"LOGIN": "s3cr3t-value"}, referenced={"LOGIN"}) == {"s3cr3t-value"}


def test_dbts_secret_variables_of_the_worker_are_secret() -> None:
    worker = {"DBT_ENV_SECRET_PAT": "ghp_0123456789", "PATH": "/usr/bin", "DBT_ENV_SECRET_EMPTY": " "}
    assert secret_values({}, worker_env=worker) == {"ghp_0123456789"}


def test_a_password_that_another_variable_says_openly_is_not_hidden() -> None:
    assert secret_values({"DB_NAME": "postgres", "DB_PASSWORD": "postgres"}) == frozenset()
    assert secret_values({"DB_NAME": "postgres", "X": "postgres"}, referenced={"X"}) == {"postgres"}


def test_the_password_within_a_url_is_secret_and_the_rest_of_it_is_not() -> None:
    env = {"DATABASE_URL": "postgres://shop:p%40ssw0rd@db.example.com/shop", "DOCS": "https://example.com"}
    assert secret_values(env) == {"p%40ssw0rd", "p@ssw0rd"}
    assert secret_values({"BROKEN": "http://[::1"}) == frozenset()


def test_texts_lose_their_secrets() -> None:
    redactor = Redactor(["hunter2"])
    assert redactor.text("password hunter2 refused (hunter2)") == "password *** refused (***)"
    assert Redactor().text("hunter2") == "hunter2"


def test_a_value_too_short_to_hide_garbles_nothing() -> None:
    assert Redactor(["1", "dev", ""]).text("1 of 3 in dev") == "1 of 3 in dev"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Redactor(["hunter2", "hunter2-prod"]).text("it is hunter2-prod") == "it is ***"


def test_a_secret_is_found_as_it_stands_in_urls_json_and_python() -> None:
    redactor = Redactor(['p@ss"w\\örd/1'])
    for written in ("p%40ss%22w%5C%C3%B6rd%2F1", json.dumps('p@ss"w\\örd/1'), repr('p@ss"w\\örd/1')):
        assert "***" in redactor.text(f"<{written}>")
        assert "rd" not in redactor.text(f"<{written}>")


def test_a_key_of_many_lines_is_found_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    shown = Redactor([key]).text("     MIIEvQIBADANBgkq\n     hkiG9w0BAQEFAASC")
    assert shown == "     ***\n     ***"


def test_a_result_loses_its_secrets_and_keeps_its_identity() -> None:
    before = result(
        "hunter22",
        "error",
        message="no hunter22",
        compiled_code="select 'hunter22'",
        adapter_response={"m": "hunter22"},
    )
    after = Redactor(["hunter22"]).result(before)
    assert after.unique_id == "model.shop.hunter22"
    assert (after.message, after.compiled_code, after.adapter_response) == ("no ***", "select '***'", {"m": "***"})


def test_statements_lose_only_secrets_long_enough_to_be_none_by_chance() -> None:
    after = Redactor(["test"]).result(result("a", message="test", compiled_code="select * from test.items"))
    assert (after.message, after.compiled_code) == ("***", "select * from test.items")


def test_a_document_without_secrets_stays_byte_for_byte() -> None:
    content = b'{ "a":1.0,  "message": "fine" }'
    assert Redactor(["hunter22"]).document(content) is content
    assert Redactor().document(content) is content


def test_a_document_loses_secrets_from_what_was_said_and_keeps_its_code_and_names() -> None:
    entry = {
        "unique_id": "model.shop.hunter22",
        "message": "hunter22",
        "compiled_code": "'hunter22'",
        "adapter_response": {"_message": "hunter22", "rows": [1.5, "hunter22"]},
    }
    document = {
        "results": [entry],
        "hunter22": {"database": "hunter22", "config": {"meta": ["hunter22"], "message": "hunter22"}},
        "args": {"invocation_command": "dbt run --vars hunter22", "vars": {"a": "hunter22"}},
    }
    redacted = json.loads(Redactor(["hunter22"]).document(json.dumps(document).encode()))
    assert redacted == {
        "results": [entry | {"message": "***", "adapter_response": {"_message": "***", "rows": [1.5, "***"]}}],
        "hunter22": document["hunter22"],
        "args": {"invocation_command": "dbt run --vars ***", "vars": {"a": "hunter22"}},
    }


def test_a_record_of_a_node_loses_secrets_from_its_result_alone() -> None:
    nodes = {"model.shop.a": {"compiled_code": "select 'hunter22'", "config": {"message": "hunter22"}}}
    record = {"kind": "freshness", "result": {"error": "no hunter22", "unique_id": "hunter22"}, "nodes": nodes}
    redacted = json.loads(Redactor(["hunter22"]).document(json.dumps(record).encode()))
    assert redacted == record | {"result": {"error": "no ***", "unique_id": "hunter22"}}


def test_a_catalog_loses_secrets_from_its_errors_alone() -> None:
    catalog = {"nodes": {"model.shop.hunter22": {"metadata": {"owner": "hunter22"}}}, "errors": ["no hunter22"]}
    redacted = json.loads(Redactor(["hunter22"]).document(json.dumps(catalog).encode()))
    assert redacted == catalog | {"errors": ["no ***"]}


@pytest.mark.parametrize("password", ["postgres", "analytics", "generate_schema_name"])
def test_a_manifest_whose_code_and_names_hold_an_ordinary_word_stays_byte_for_byte(password: str) -> None:
    macros = {f"macro.dbt.{password}__dateadd": {"name": f"{password}__dateadd", "macro_sql": f"{password}.dateadd"}}
    node = {"database": password, "raw_code": password, "compiled_code": password, "config": {"meta": {"a": password}}}
    manifest = json.dumps({"macros": macros, "nodes": {"model.shop.a": node}, "errors": None}).encode()
    assert Redactor([password]).document(manifest) is manifest


def test_what_is_not_json_is_redacted_as_a_text() -> None:
    assert Redactor(["hunter22"]).document(b"log: hunter22 \xff") == b"log: *** \xff"


def test_what_a_command_shows_is_redacted() -> None:
    result = NodeExecutionResult(
        unique_id="operation", status="success", output="said hunter2-hunter2", rows=[{"word": "hunter2-hunter2"}]
    )
    redacted = Redactor(["hunter2-hunter2"]).result(result)
    assert (redacted.output, redacted.rows) == ("said ***", [{"word": "***"}])
