"""A worker with an empty cache begins with the parse of another one, where it is that of the same project."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.parents.parse_file import unpack, unseal
from tests.integration.engine_driver import drive, new_invocation
from tests.integration.equality.compare import difference
from tests.integration.parses.fleet import KEPT, PACKAGE, TAKEN, WHOLE, Fleet

pytestmark = pytest.mark.every_dbt_version


async def test_a_worker_with_an_empty_cache_takes_the_parse_of_another_one(fleet: Fleet) -> None:
    first, parsed = await fleet.lists()
    second, taken = await fleet.lists()
    assert (first, second) == (WHOLE, TAKEN)
    assert difference(taken, parsed) == []
    assert len(fleet.parses()) == 1


async def test_what_was_taken_is_kept_in_the_cache_for_the_next_start(fleet: Fleet) -> None:
    await fleet.begins()
    assert await fleet.begins() == TAKEN
    assert await fleet.begins(keeps_cache=True) == KEPT


async def test_a_run_on_the_parse_of_another_worker_does_the_same(fleet: Fleet) -> None:
    fleet.write(PACKAGE)
    runs = []
    for _ in range(2):
        shutil.rmtree(fleet.folder / "cache", ignore_errors=True)
        with fleet.log.at_level(logging.INFO):
            async with fleet.worker() as engine:
                runs.append(await drive(engine, fleet.location, new_invocation(command="build")))
    assert [said in fleet.log.text for said in (WHOLE, TAKEN)] == [True, True]
    parsed, taken = runs
    assert taken.output.success
    assert taken.statuses() == parsed.statuses()
    results = [json.loads(run.artifacts["run_results.json"])["results"] for run in runs]
    codes = [{result["unique_id"]: result["compiled_code"] for result in each} for each in results]
    assert codes[0] == codes[1]
    manifests = [json.loads(run.artifacts["manifest.json"]) for run in runs]
    assert difference(*manifests) == []


async def test_values_of_variables_are_not_in_the_store_but_those_of_this_worker_are_in_its_parse(
    fleet: Fleet,
) -> None:
    fleet.environ = {"WHO": "nobody-would-guess"}
    fleet.write({"models/above.sql": "{% if env_var('WHO') == 'x' %}{% endif %}select * from {{ ref('priced') }}"})
    assert [await fleet.begins() for _ in range(2)] == [WHOLE, TAKEN]
    _, data = unpack(unseal(fleet.parses()[0].read_bytes(), [b""]))
    assert b"WHO" in data
    assert b"nobody-would-guess" not in data
    kept = next((fleet.folder / "cache" / "parsed").glob("*.msgpack")).read_bytes()
    assert b"nobody-would-guess" in kept


async def test_a_parse_in_which_a_secret_stands_is_not_shared(fleet: Fleet) -> None:
    fleet.secrets = {"DB_PASSWORD": "select * from"}
    assert [await fleet.begins() for _ in range(2)] == [WHOLE, WHOLE]
    assert fleet.parses() == []
    assert "the parse of shop is not shared: the value of DB_PASSWORD stands in it" in fleet.log.text


@pytest.mark.parametrize("named", ["in the environment", "in the project"])
async def test_whoever_wants_no_partial_parsing_gets_none(fleet: Fleet, named: str) -> None:
    await fleet.begins()
    if named == "in the environment":
        fleet.environ["DBT_PARTIAL_PARSE"] = "false"
    else:
        fleet.write({"dbt_project.yml": "name: shop\nprofile: shop\nflags: {partial_parse: false}\n"})
    assert [await fleet.begins() for _ in range(2)] == [WHOLE, WHOLE]
    assert len(fleet.parses()) == 1


async def test_the_environment_of_a_run_is_never_shared(fleet: Fleet) -> None:
    async with fleet.worker() as engine:
        before = len(fleet.parses())
        run = await drive(engine, fleet.location, new_invocation(command="list", env={"WHO": "me"}))
        assert json.loads(run.artifacts["manifest.json"])["nodes"]["model.shop.above"]["alias"] == "for_me"
    assert len(fleet.parses()) == before == 1


async def test_what_a_program_said_while_dbt_parsed_is_not_shared(fleet: Fleet, tmp_path: Path) -> None:
    plugin = """
import subprocess
from dbt.plugins.manager import dbt_hook, dbtPlugin
from dbt.plugins.manifest import PluginNodes

class Asking(dbtPlugin):
    @dbt_hook
    def get_nodes(self):
        subprocess.run(["true"], check=True)
        return PluginNodes()

plugins = [Asking]
"""
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "dbt_asking.py").write_text(plugin)
    fleet.environ["PYTHONPATH"] = str(tmp_path / "python")
    assert [await fleet.begins() for _ in range(2)] == [WHOLE, WHOLE]
    assert fleet.parses() == []


async def test_a_run_by_other_flags_has_a_parse_of_its_own_wherever_the_worker_has_the_first_one_from(
    fleet: Fleet,
) -> None:
    fleet.write({"models/full.sql": "{{ config(alias='full' if flags.FULL_REFRESH else 'part') }} select 1 as x"})
    by_flags = new_invocation(command="run", full_refresh=True, select="full")
    for begins, keeps_cache in ((WHOLE, False), (TAKEN, False), (KEPT, True)):
        assert await fleet.begins(keeps_cache=keeps_cache) == begins
        async with fleet.worker() as engine:
            run = await drive(engine, fleet.location, by_flags)
        assert json.loads(run.artifacts["manifest.json"])["nodes"]["model.shop.full"]["alias"] == "full"
