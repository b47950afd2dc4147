"""The PostgreSQL server that other tests rely on."""

from __future__ import annotations

import pytest

from examples.postgres_server import PostgresUnavailableError
from tests.integration import postgres as postgres_module
from tests.integration.postgres import PostgresDatabase, running_postgres


def test_each_test_gets_an_empty_database_that_is_gone_afterwards(postgres_server: PostgresDatabase) -> None:
    with postgres_server.fresh_database("Some test[with odd name]") as database:
        session = database.connect()
        assert database.query("select count(*) from pg_tables where schemaname = 'public'") == [(0,)]
    existing = [name for (name,) in postgres_server.query("select datname from pg_database")]
    assert database.dbname not in existing
    session.close()


def test_a_named_server_that_does_not_answer_fails_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(postgres_module.URL_VARIABLE, "postgresql://nobody:x@127.0.0.1:1/none")
    with pytest.raises(PostgresUnavailableError, match="does not answer"), running_postgres():
        pass


def test_a_named_server_with_a_wrong_url_fails_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(postgres_module.URL_VARIABLE, "localhost:5432")
    with pytest.raises(PostgresUnavailableError, match="postgresql://user:password@host"), running_postgres():
        pass
