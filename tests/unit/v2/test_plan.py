"""Plans from manifests of dbt v2."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_temporal.adapters.dbt_v2.gating import held_back_by
from dbt_temporal.adapters.dbt_v2.plan import Manifest, make_plan, refuse_lacking, unrepeatable
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.plan import ExecutionPlan


def entry(unique_id: str, *parents: str, **config: Any) -> tuple[str, dict[str, Any]]:
    kind, package, *name = unique_id.split(".")
    return unique_id, {
        "resource_type": kind,
        "name": name[-1],
        "package_name": package,
        "schema": "s",
        "alias": name[-1],
        "depends_on": {"nodes": list(parents)},
        "config": {"materialized": "view", **config},
    }


def manifest(*entries: tuple[str, dict[str, Any]]) -> Manifest:
    nodes = {uid: node for uid, node in entries if node["resource_type"] != "unit_test"}
    unit_tests = {uid: node for uid, node in entries if node["resource_type"] == "unit_test"}
    metadata = {"project_name": "p", "adapter_type": "duckdb", "dbt_version": "2.0.0"}
    return Manifest({"metadata": metadata, "nodes": nodes, "unit_tests": unit_tests})


def plan_of(of: Manifest, *selected: str, command: str = "build") -> ExecutionPlan:
    return make_plan(of, selected, invocation_id="1", command=command, listing={})


def waits(plan: ExecutionPlan) -> dict[str, list[str]]:
    return {uid: node.depends_on for uid, node in plan.nodes.items()}


def test_paths_through_nodes_that_are_not_selected_are_bridged() -> None:
    of = manifest(entry("model.p.a"), entry("model.p.b", "model.p.a"), entry("model.p.c", "model.p.b"))
    assert waits(plan_of(of, "model.p.a", "model.p.c")) == {"model.p.a": [], "model.p.c": ["model.p.a"]}


def test_clones_wait_for_nothing() -> None:
    of = manifest(entry("model.p.a"), entry("model.p.b", "model.p.a"))
    assert waits(plan_of(of, "model.p.a", "model.p.b", command="clone")) == {"model.p.a": [], "model.p.b": []}


def test_an_inline_query_is_a_model_of_its_run_alone() -> None:
    of = manifest(entry("model.p.a"))
    assert not of.has("model.p.inline")
    plan = plan_of(of, of.take_inline(), command="show")
    (node,) = plan.nodes.values()
    assert (node.unique_id, node.name, node.relation) == ("model.p.inline", "inline", None)
    assert of.counts == {"model": 1}


def test_build_holds_a_model_back_for_tests_and_unit_tests_of_what_it_reads() -> None:
    of = manifest(
        entry("model.p.a"),
        entry("test.p.t.1", "model.p.a"),
        entry("model.p.b", "model.p.a"),
        entry("unit_test.p.b.u", "model.p.b"),
    )
    every = ("model.p.a", "test.p.t.1", "model.p.b", "unit_test.p.b.u")
    assert waits(plan_of(of, *every)) == {
        "model.p.a": [],
        "test.p.t.1": ["model.p.a"],
        "unit_test.p.b.u": ["model.p.a"],
        "model.p.b": ["model.p.a", "test.p.t.1", "unit_test.p.b.u"],
    }
    assert waits(plan_of(of, "test.p.t.1", "unit_test.p.b.u", command="test")) == {
        "test.p.t.1": [],
        "unit_test.p.b.u": [],
    }


def test_a_test_holds_back_what_is_below_all_of_its_parents_alone() -> None:
    parents = {"a": [], "b": [], "t": ["a", "b"], "c": ["a"], "d": ["a", "b"], "e": ["d"]}
    assert held_back_by(list(parents), parents, {"t"}) == {"d": {"t"}}


def test_hooks_are_known_and_nodes_have_what_their_meta_says() -> None:
    of = manifest(entry("model.p.a", meta={"dbt_temporal": {"timeout_secs": 5}}), entry("operation.p.p-on-run-start-0"))
    plan = plan_of(of, "model.p.a")
    assert (plan.has_on_run_start, plan.has_on_run_end) == (True, False)
    overrides = plan.nodes["model.p.a"].overrides
    assert overrides is not None
    assert overrides.timeout_secs == 5
    assert plan.nodes["model.p.a"].relation == "s.a"


def test_models_that_add_rows_are_not_run_twice_without_a_look() -> None:
    of = manifest(
        entry("model.p.view"),
        entry("model.p.append", materialized="incremental"),
        entry("model.p.key", materialized="incremental", unique_key="id"),
        entry("model.p.own", materialized="somebodys"),
        entry("seed.p.s"),
    )
    every = ("model.p.view", "model.p.append", "model.p.key", "model.p.own", "seed.p.s")
    assert unrepeatable(of, every, full_refresh=False) == {"model.p.append", "model.p.own"}
    assert unrepeatable(of, every, full_refresh=True) == {"model.p.own"}


def test_what_a_version_cannot_run_is_refused_before_anything_runs() -> None:
    plan = plan_of(manifest(entry("model.p.b"), entry("unit_test.p.b.u", "model.p.b")), "model.p.b", "unit_test.p.b.u")
    refuse_lacking("2.0.0-preview.190", "duckdb", plan)
    with pytest.raises(DbtTemporalError, match="cannot run a unit_test on postgres"):
        refuse_lacking("2.0.0-preview.190", "postgres", plan)


def test_a_macro_is_found_as_dbt_finds_it_in_the_project_first() -> None:
    names = ["macro.dbt.a", "macro.q.a", "macro.q.b", "macro.dbt.b", "macro.p.a"]
    parts = [name.split(".") for name in names]
    macros = {
        name: {"unique_id": name, "package_name": package, "name": short}
        for name, (_, package, short) in zip(names, parts, strict=True)
    }
    found = Manifest({"metadata": {"project_name": "p"}, "macros": macros})
    asked = {"a": "macro.p.a", "q.a": "macro.q.a", "b": "macro.q.b", "dbt.b": "macro.dbt.b", "p.b": None, "c": None}
    assert {name: (found.macro(name) or {}).get("unique_id") for name in asked} == asked
