"""Files of a run on dbt v2: those that go while it is held, and selections that are too long for a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.adapters.dbt_v2.runs import exact
from tests.integration.postgres import PostgresDatabase
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_postgres
from tests.integration.v2.runs import FAILS_ONCE, run, stored, words

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]


async def test_nodes_of_all_kinds_that_are_too_many_for_a_command_line_are_run_again(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "MAX_CHARS", 0)
    location = make_project(
        tmp_path / "project",
        {
            "seeds/raw.csv": "id\n1\n",
            "models/once.sql": "select fails_once() as id from {{ ref('raw') }}",
            "models/below.sql": "select id from {{ ref('once') }}",
            "models/aside.sql": "select 1 as id",
            "models/_m.yml": "models: [{name: below, columns: [{name: id, data_tests: [not_null]}]}]",
            "snapshots/kept.sql": "{% snapshot kept %}{{ config(unique_key='id', strategy='check', check_cols='all', "
            "target_schema='built') }} select id from {{ ref('below') }}{% endsnapshot %}",
        },
    )
    postgres.execute(FAILS_ONCE)
    given = {"env": on_postgres(postgres), "select": "raw once+ asied"}
    output = await run(v2_engine, location, given, tmp_path / "store")
    assert output.success, [result.message for result in output.node_results]
    assert words(output) == {
        **dict.fromkeys(("raw", "once", "below", "kept"), "success"),
        **{name: "pass" for name in words(output) if name not in ("raw", "once", "below", "kept")},
    }
    attempts = {result.unique_id.split(".")[2]: result.attempts for result in output.node_results}
    assert (attempts["raw"], attempts["once"], attempts["below"]) == (1, 2, 1)
    assert len(stored(tmp_path / "store", output, "run_results.json")["results"]) == 5
    log = (tmp_path / "store" / output.invocation_id / "log.txt").read_text().splitlines()
    told = next(number for number, line in enumerate(log) if "selection criterion 'asied'" in line)
    assert log[told + 1].strip() == "Did you mean aside?"
