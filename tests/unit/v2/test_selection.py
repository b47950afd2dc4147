"""What a retry on dbt v2 runs again, and what a further process takes from a deferred state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from dbt_temporal.adapters.dbt_v2.runs.deferral import Deferral
from dbt_temporal.adapters.dbt_v2.runs.selection import to_retry
from dbt_temporal.adapters.earlier_runs import remembered
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import parse_run_input


def entry(name: str, status: str, message: str | None = None) -> dict[str, Any]:
    return {"unique_id": name, "status": status, "message": message}


EPHEMERAL = entry("model.p.eph", "skipped", "Skipped")


def test_what_failed_and_what_was_skipped_is_run_again() -> None:
    results = [
        entry("operation.p.p-on-run-start-0", "error"),
        *(entry(f"model.p.{word[0]}", word) for word in ("error", "success", "partial success", "runtime error")),
        entry("model.p.below", "skipped", "Skipped due to upstream failure"),
        entry("test.p.t", "fail"),
        entry("test.p.w", "warn"),
        EPHEMERAL,
    ]
    assert to_retry(results, "there") == {
        *("model.p.e", "model.p.p", "model.p.r", "model.p.below", "test.p.t", "model.p.eph")
    }


def test_ephemeral_models_alone_are_nothing_to_retry() -> None:
    assert to_retry([EPHEMERAL, entry("model.p.a", "success")], "there") == frozenset()
    with pytest.raises(DbtTemporalError, match="the run at there has no results, so there is nothing to retry"):
        to_retry([], "there")


def test_a_run_remembers_what_its_retry_takes_over() -> None:
    given = {
        "vars": {"n": 0},
        "target": "prod",
        "full_refresh": False,
        "select": "a",
        "defer_manifest_ref": "prod/m.json",
    }
    assert remembered(parse_run_input(given)) == {
        **{"vars": {"n": 0}, "target": "prod", "full_refresh": False},
        **{"defer": True, "defer_state": "prod/m.json"},
    }


def test_a_run_remembers_where_it_has_cloned_from_and_that_it_favored_a_state() -> None:
    assert remembered(parse_run_input({"command": "clone", "state_manifest_ref": "prod/m.json"})) == {
        "state": "prod/m.json"
    }
    assert remembered(parse_run_input({"state_manifest_ref": "prod/m.json", "favor_state": True})) == {
        "favor_state": True
    }


def deferral(folder: Path, **given: Any) -> Deferral:
    """That of a run whose state has the nodes a and b."""
    state = folder / "state"
    state.mkdir()
    nodes = {f"model.p.{name}": {"relation_name": f"prod.{name}"} for name in "ab"}
    (state / "manifest.json").write_bytes(orjson.dumps({"nodes": nodes, "functions": {}, "sources": {"s": {}}}))
    run_input = parse_run_input({"defer_manifest_ref": "prod", **given})
    return Deferral(run_input, {}, {"defer_manifest_ref": state}, folder)


async def test_a_further_process_finds_what_its_run_builds_where_the_state_is_favored(tmp_path: Path) -> None:
    own = deferral(tmp_path, favor_state=True)
    assert own.words == ["--defer", "--defer-state", str(tmp_path / "state"), "--favor-state"]
    *_, place, favor = await own.words_beside(["model.p.a", "model.p.c"])
    assert favor == "--favor-state"
    left = orjson.loads((Path(place) / "manifest.json").read_bytes())
    assert left == {"nodes": {"model.p.b": {"relation_name": "prod.b"}}, "functions": {}, "sources": {"s": {}}}


async def test_where_the_state_is_not_favored_dbt_looks_itself_for_what_was_built(tmp_path: Path) -> None:
    own = deferral(tmp_path)
    assert await own.words_beside(["model.p.a"]) == own.words
