import json

from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_temporal.adapters.temporal.workflow.memo import MAX_LOG_LINES, MAX_NODES, command_memo, live_memo, memo_size
from dbt_temporal.domain.run.input import DbtRunInput

LIMIT = 32 * 1024


def size(memo: object) -> int:
    return len(json.dumps(memo).encode())


def test_a_small_run_is_shown_whole_in_plan_order() -> None:
    statuses = {"model.a": "success", "model.b": "running", "model.c": "pending"}
    memo = live_memo(statuses, ["one", "two"], used=0)
    assert memo == {"node_status": statuses, "log": ["one", "two"]}
    assert list(memo["node_status"]) == list(statuses)


def test_failed_and_running_nodes_are_kept_before_finished_and_pending_ones() -> None:
    statuses = {f"model.shop.a_rather_long_name_{n:05}": "success" if n % 2 else "pending" for n in range(5000)}
    statuses["model.shop.broken"] = "error"
    statuses["model.shop.busy"] = "running"
    kept = live_memo(statuses, [], used=0)["node_status"]
    assert kept["model.shop.broken"] == "error"
    assert kept["model.shop.busy"] == "running"
    assert "pending" not in kept.values()


def test_no_more_than_2000_nodes_and_200_lines_are_shown() -> None:
    memo = live_memo({f"{n}": "success" for n in range(3000)}, [f"{n}" for n in range(500)], used=0)
    assert len(memo["node_status"]) <= MAX_NODES
    assert memo["log"] == [f"{n}" for n in range(500 - MAX_LOG_LINES, 500)]


def test_the_newest_lines_are_kept_where_not_all_fit() -> None:
    lines = [f"{n} {'x' * 400}" for n in range(MAX_LOG_LINES)]
    log = live_memo({}, lines, used=0)["log"]
    assert 0 < len(log) < MAX_LOG_LINES
    assert log == lines[-len(log) :]


def test_a_large_plan_leaves_room_for_the_log() -> None:
    statuses = {f"model.shop.a_rather_long_name_{n:05}": "success" for n in range(5000)}
    assert len(live_memo(statuses, ["x" * 100] * 200, used=0)["log"]) > 50


def test_an_over_long_line_is_cut() -> None:
    (line,) = live_memo({}, ["x" * 5000], used=0)["log"]
    assert len(line) == 500


def test_the_command_memo_says_what_was_asked_and_never_the_environment() -> None:
    memo = command_memo("shop", DbtRunInput(select="+a", vars={"day": 1}, env={"PW": "secret"}))
    assert memo == {
        "command": "build",
        "project": "shop",
        "select": "+a",
        "exclude": None,
        "target": None,
        "full_refresh": False,
        "fail_fast": False,
        "vars": {"day": 1},
    }


def test_large_vars_and_selections_are_cut_to_fit() -> None:
    memo = command_memo("shop", DbtRunInput(select='"' * 50_000, vars={"v": "ü" * 50_000}))
    assert size(memo) <= 4 * 1024
    assert memo["select"].endswith("…")


names = st.text(min_size=1, max_size=200)
statuses = st.sampled_from(["pending", "running", "success", "error", "skipped", "cancelled"])


@given(
    nodes=st.dictionaries(names, statuses, max_size=400),
    log=st.lists(st.text(max_size=700), max_size=250),
    select=st.text(max_size=8000),
)
@settings(max_examples=60, deadline=None)
def test_all_memos_together_stay_below_the_contracts_limit(nodes: dict[str, str], log: list[str], select: str) -> None:
    command = {"command": command_memo("shop", DbtRunInput(select=select))}
    memo = command | live_memo(nodes, log, used=memo_size(command))
    assert size(memo) < LIMIT
