"""Whatever dbt reads while it parses decides whether a parse is kept: real dbt on DuckDB, edited between runs."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.project_files import content_revision
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.engine_driver import new_invocation, open_engine, opened, write_files
from tests.integration.equality.compare import read_json, run_cli

pytestmark = pytest.mark.every_dbt_version

PROFILES = 'shop: {target: dev, outputs: {dev: {type: duckdb, path: ":memory:", schema: main, threads: 1}}}'
PRICED = "{{ config(alias='price_' ~ price()) }} select 1 as x"
PLUGIN = """\
from dbt.plugins.manager import dbt_hook, dbtPlugin
from dbt.plugins.manifest import ModelNodeArgs, PluginNodes

class Upstream(dbtPlugin):
    @dbt_hook
    def get_nodes(self):
        nodes = PluginNodes()
        nodes.add_model(ModelNodeArgs(
            name="orders", package_name="upstream", identifier=self.name_of_relation(), schema="main",
        ))
        return nodes
"""
READING = """
class Reading(Upstream):
    def name_of_relation(self):
        with open(os.environ["UPSTREAM_FILE"]) as file:
            return json.load(file)["orders"]

plugins = [Reading]
"""
ASKING = """
class Asking(Upstream):
    def name_of_relation(self):
        with socket.create_connection(("127.0.0.1", int(os.environ["UPSTREAM_PORT"]))) as connection:
            return connection.recv(100).decode()

plugins = [Asking]
"""


class Shop:
    """A project that somebody edits, in a folder of its own beside others."""

    def __init__(self, folder: Path, engine: DbtCoreEngine) -> None:
        self.folder = folder
        self.engine = engine
        self.write("shop/dbt_project.yml", "name: shop\nprofile: shop\nmacro-paths: [macros, ../_shared/macros]\n")
        self.write("shop/profiles.yml", PROFILES)
        self.write("_shared/macros/price.sql", macro("price", "100"))
        self.write("shop/models/priced.sql", PRICED)

    def write(self, name: str, text: str) -> None:
        write_files(self.folder, {name: text})

    def location(self) -> ProjectLocation:
        """The project at the revision that its files have now."""
        project = self.folder / "shop"
        return ProjectLocation(project, project, content_revision(project), changeable=True)

    async def relations(self, location: ProjectLocation | None = None, run: DbtInvocation | None = None) -> set[str]:
        """schema.alias of each model, as a new run has them, or a further step of `run`."""
        invocation = run or new_invocation(command="list")
        files = await opened(self.engine, location or self.location(), invocation).artifacts([], 0.0)
        names = relations(files["manifest.json"])
        if run is None:
            await self.engine.end_run(invocation.invocation_id)
        return names

    def relations_of_cli(self) -> set[str]:
        run_cli(["ls"], self.folder / "shop", self.folder / "cli", {})
        return relations(self.folder / "cli" / "manifest.json")


def macro(name: str, value: str) -> str:
    return f"{{% macro {name}() %}}{{{{ return('{value}') }}}}{{% endmacro %}}"


def relations(manifest: Path) -> set[str]:
    return {f"{node['schema']}.{node['alias']}" for node in read_json(manifest)["nodes"].values()}


def parses(folder: Path) -> int:
    """How many are kept in memory."""
    return len(list(folder.glob("cache/workers/*/parents/*")))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_engine(tmp_path / "cache") as engine:
        yield Shop(tmp_path, engine)


async def test_a_folder_that_the_project_names_counts_wherever_it_lies(shop: Shop) -> None:
    before = shop.location()
    assert await shop.relations() == {"main.price_100"}

    shop.write("_shared/macros/price.sql", macro("price", "250"))
    assert await shop.relations() == {"main.price_250"} == shop.relations_of_cli()
    assert shop.location().revision != before.revision

    shop.write("_shared/macros/discount.sql", macro("default__price", "0"))
    shop.write("_shared/macros/price.sql", macro("price", "' ~ discounted() ~ '"))
    shop.write("_shared/macros/discounted.sql", macro("discounted", "9"))
    assert await shop.relations() == {"main.price_9"}


async def test_a_folder_whose_name_only_dbt_can_tell_counts_by_what_dbt_read_in_it(shop: Shop) -> None:
    shop.write(
        "shop/dbt_project.yml",
        "name: shop\nprofile: shop\nmacro-paths: [\"{{ env_var('SHARED', '../_shared') }}/macros\"]\n",
    )
    location = shop.location()
    assert await shop.relations() == {"main.price_100"}
    shop.write("_shared/macros/price.sql", macro("price", "250"))
    assert await shop.relations() == {"main.price_250"}
    shop.write("_shared/macros/added.sql", macro("generate_schema_name", "other").replace("()", "(name, node)", 1))
    assert await shop.relations() == {"other.price_250"}
    (shop.folder / "_shared" / "macros" / "added.sql").unlink()
    assert await shop.relations() == {"main.price_250"}
    assert shop.location() == location  # the revision says nothing of it


async def test_suffixes_in_capitals_and_linked_folders_count(shop: Shop) -> None:
    shop.write("shop/models/LOUD.SQL", "{{ config(alias='old_loud') }} select 1 as x")
    shop.write("elsewhere/linked.sql", "{{ config(alias='old_linked') }} select 1 as x")
    shop.write(
        "shop/dbt_project.yml",
        "name: shop\nprofile: shop\nmacro-paths: [../_shared/macros]\nmodel-paths: [models, linked]\n",
    )
    (shop.folder / "shop" / "linked").symlink_to(shop.folder / "elsewhere")
    assert await shop.relations() == {"main.price_100", "main.old_loud", "main.old_linked"}

    shop.write("shop/models/LOUD.SQL", "{{ config(alias='new_loud') }} select 1 as x")
    assert await shop.relations() == {"main.price_100", "main.new_loud", "main.old_linked"}
    shop.write("elsewhere/linked.sql", "{{ config(alias='new_linked') }} select 1 as x")
    assert await shop.relations() == {"main.price_100", "main.new_loud", "main.new_linked"} == shop.relations_of_cli()
    shop.write("elsewhere/added.sql", "select 1 as x")
    assert "main.added" in await shop.relations()


async def test_local_packages_outside_of_the_project_count(shop: Shop) -> None:
    shop.write("shop/packages.yml", "packages: [{local: ../pricing}]\n")
    shop.write("pricing/dbt_project.yml", "name: pricing\n")
    shop.write("pricing/macros/m.sql", macro("price", "1"))
    shop.write("shop/models/priced.sql", PRICED.replace("price()", "pricing.price()"))
    before = shop.location()
    assert await shop.relations() == {"main.price_1"}
    shop.write("pricing/macros/m.sql", macro("price", "22"))
    assert await shop.relations() == {"main.price_22"}
    assert shop.location().revision != before.revision


@pytest.mark.parametrize(
    ("project", "profiles"),
    [
        ("flags: {partial_parse: false}\nmodels: {+alias: \"{{ modules.re.sub('[^0-9]', '', '1') }}\"}\n", PROFILES),
        ("", PROFILES.replace("schema: main", "schema: \"s{{ run_started_at.strftime('%H%M%S') }}\"")),
    ],
    ids=["partial_parse", "profile"],
)
async def test_what_is_parsed_anew_for_each_run_has_the_runs_own_time(shop: Shop, project: str, profiles: str) -> None:
    shop.write("shop/dbt_project.yml", f"name: shop\nprofile: shop\n{project}")
    shop.write("shop/profiles.yml", profiles)
    model = "{{ config(alias='at_' ~ run_started_at.strftime('%H%M%S')) }} select 1 as x"
    shop.write("shop/models/priced.sql", model if project else "select 1 as x")
    seen = set()
    for time in ("10:20:30", "11:21:31"):
        run = new_invocation(command="list").model_copy(update={"started_at": f"2026-01-02T{time}+00:00"})
        digits = time.replace(":", "")
        expected = {f"main.at_{digits}" if project else f"s{digits}.priced"}
        assert await shop.relations(run=run) == expected
        assert await shop.relations(run=run) == expected
        seen |= expected
    assert len(seen) == 2


async def test_a_time_in_a_models_config_is_kept_with_the_parse_as_on_the_command_line(shop: Shop) -> None:
    shop.write("shop/models/priced.sql", "{{ config(alias='at_' ~ run_started_at.strftime('%f')) }} select 1 as x")
    assert await shop.relations() == await shop.relations()
    assert shop.relations_of_cli() == shop.relations_of_cli()


async def test_a_run_under_way_keeps_its_parse_or_fails(tmp_path: Path) -> None:
    async with open_engine(tmp_path / "cache", limits=EngineLimits(max_hosts=1, max_projects=2)) as engine:
        shop = Shop(tmp_path, engine)
        shop.write("shop/dbt_project.yml", "name: shop\nprofile: shop\nmacro-paths: [\"{{ '../_shared/macros' }}\"]\n")
        location, run = shop.location(), new_invocation(command="list")
        assert await shop.relations(location, run) == {"main.price_100"}
        shop.write("_shared/macros/price.sql", macro("price", "250"))
        assert await shop.relations(location) == {"main.price_250"}  # its host took the place of the run's
        assert await shop.relations(location, run) == {"main.price_100"}

        for schema in ("one", "two"):  # other parses take its place
            shop.write("shop/profiles.yml", PROFILES.replace("main", schema))
            await shop.relations()
        with pytest.raises(DbtTemporalError, match=r"price\.sql, which belongs to .* was edited") as caught:
            await shop.relations(location, run)
        assert (caught.value.error_type, caught.value.retryable) == (ErrorType.PROJECT_NOT_FOUND, True)


async def upstream(engine: DbtCoreEngine, shop: Shop) -> str:
    invocation = new_invocation(command="list")
    files = await opened(engine, shop.location(), invocation).artifacts([], 0.0)
    manifest = read_json(files["manifest.json"])
    await engine.end_run(invocation.invocation_id)
    return str(manifest["nodes"]["model.upstream.orders"]["alias"])


async def test_a_file_that_a_plugin_reads_counts(tmp_path: Path) -> None:
    write_files(tmp_path, {"python/dbt_upstream.py": f"import json, os\n{PLUGIN}{READING}"})
    environ = {"PYTHONPATH": str(tmp_path / "python"), "UPSTREAM_FILE": str(tmp_path / "manifest.json")}
    async with open_engine(tmp_path / "cache", environ={**os.environ, **environ}) as engine:
        shop = Shop(tmp_path, engine)
        for name in ("orders_1", "orders_22"):
            shop.write("manifest.json", json.dumps({"orders": name}))
            assert await upstream(engine, shop) == name
        assert parses(tmp_path) == 2
        assert await upstream(engine, shop) == "orders_22"
        assert parses(tmp_path) == 2


@pytest.mark.parametrize(("kept_secs", "second"), [("0", "orders_2"), ("600", "orders_1")])
async def test_a_plugin_that_asks_a_network_is_asked_again(tmp_path: Path, kept_secs: str, second: str) -> None:
    write_files(tmp_path, {"python/dbt_upstream.py": f"import os, socket\n{PLUGIN}{ASKING}"})
    answers = iter(["orders_1", "orders_2", "orders_3"])
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(next(answers).encode())

        threading.Thread(target=serve, daemon=True).start()
        environ = {"PYTHONPATH": str(tmp_path / "python"), "UPSTREAM_PORT": str(server.getsockname()[1])}
        limits = read_settings({"DBT_TEMPORAL_ASKING_PARSE_SECS": kept_secs}).engine
        async with open_engine(tmp_path / "cache", environ={**os.environ, **environ}, limits=limits) as engine:
            shop = Shop(tmp_path, engine)
            assert await upstream(engine, shop) == "orders_1"
            assert await upstream(engine, shop) == second


async def test_files_of_a_project_that_never_changes_are_not_looked_at(shop: Shop) -> None:
    shop.write("shop/dbt_project.yml", "name: shop\nprofile: shop\n")
    shop.write("shop/models/priced.sql", "select 1 as x")
    location = replace(shop.location(), changeable=False)
    assert await shop.relations(location) == {"main.priced"}
    shop.write("shop/models/other.sql", "select 1 as x")
    assert await shop.relations(location) == {"main.priced"}
