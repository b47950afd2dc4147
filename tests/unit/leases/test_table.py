"""Who has which lease, and who waits: by the table alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dbt_temporal.domain.leases.messages import KeptTable, Lease, LeaseAnswer, LeaseRequest, pack_keys
from dbt_temporal.domain.leases.table import MAX_KEPT_CHARS, MAX_SHOWN, LeaseTable

NOW = "2026-01-01T00:00:00+00:00"


def lease(names: str) -> Lease:
    """For the relations that the words name."""
    return Lease(scope="relations", keys=pack_keys(names.split()), what=names)


def ask(
    table: LeaseTable, owner: str, names: str, *, waits: bool = True, at: str = NOW, within: str = ""
) -> LeaseAnswer:
    request = LeaseRequest(
        owner=owner, workflow_id=f"run {owner}", lease=lease(names), waits=waits, within=within.split()
    )
    return table.ask(request, at)


def claims(table: LeaseTable) -> dict[str, bool]:
    return {claimant.owner: claimant.granted for claimant in table.claimants()}


def test_the_first_has_it_and_the_second_hears_of_him() -> None:
    table = LeaseTable()
    assert ask(table, "1", "a b") == LeaseAnswer(granted=True)
    answer = ask(table, "2", "b c")
    assert (answer.granted, answer.count) == (False, 1)
    assert [(each.workflow_id, each.since, each.granted) for each in answer.behind] == [("run 1", NOW, True)]


def test_claims_that_do_not_meet_stand_beside_each_other() -> None:
    table = LeaseTable()
    assert ask(table, "1", "a").granted
    assert ask(table, "2", "b").granted
    assert not table.waiting


def test_nobody_overtakes_whom_he_would_wait_for() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    ask(table, "2", "a b")
    assert not ask(table, "3", "b").granted
    assert ask(table, "4", "c").granted
    table.drop(["1"])
    assert claims(table) == {"2": True, "3": False, "4": True}
    assert [each.owner for each in table.to_tell()] == ["2"]
    table.told("2")
    assert table.to_tell() == []


def test_asking_again_for_the_same_or_less_keeps_the_place() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    ask(table, "2", "a b", at="first")
    ask(table, "3", "a")
    assert [each.owner for each in ask(table, "2", "b", at="later").behind] == ["1"]
    assert [(each.owner, each.since) for each in table.claimants()] == [("1", NOW), ("2", "first"), ("3", NOW)]
    assert ask(table, "1", "a").granted


def test_asking_for_more_is_asking_anew() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    ask(table, "2", "a")
    assert not ask(table, "1", "a b").granted
    assert claims(table) == {"2": True, "1": False}


def test_who_does_not_wait_gets_no_place() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    assert not ask(table, "2", "a", waits=False).granted
    assert claims(table) == {"1": True}


def test_a_run_within_another_one_has_what_that_has_before_all_who_wait() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    ask(table, "2", "a b")
    assert not ask(table, "nested", "a").granted
    assert ask(table, "nested", "a", within="1").granted
    assert ask(table, "deeper", "a", within="nested 1").granted
    table.drop(["1"])
    assert claims(LeaseTable(table.kept())) == {"nested": True, "deeper": True, "2": False}


def test_a_run_within_another_one_waits_for_what_others_have() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    ask(table, "2", "b")
    ask(table, "3", "b")
    assert [each.owner for each in ask(table, "nested", "a b", within="1").behind] == ["2"]
    table.drop(["2"])
    assert claims(table) == {"1": True, "nested": True, "3": False}


def test_closed_runs_are_dropped_unless_they_have_asked_again() -> None:
    table = LeaseTable()
    ask(table, "1", "a")
    ask(table, "2", "a")
    ask(table, "3", "b")
    found = table.to_look_at()
    assert [each.owner for each in found] == ["1", "2"]
    ask(table, "1", "a")  # after a reset
    table.drop_closed(found)
    assert claims(table) == {"1": True, "3": True}
    table.drop_closed(found)
    assert claims(table) == {"1": True, "3": True}
    ask(table, "2", "a")
    table.drop_closed(table.to_look_at()[:1])
    assert claims(table) == {"3": True, "2": True}


def test_an_answer_names_some_and_counts_all() -> None:
    table = LeaseTable()
    for number in range(MAX_SHOWN + 3):
        ask(table, str(number), "a")
    answer = ask(table, "last", "a")
    assert [each.owner for each in answer.behind] == [str(number) for number in range(MAX_SHOWN)]
    assert answer.count == MAX_SHOWN + 3


def test_the_state_is_kept_and_holds_a_set_of_keys_once() -> None:
    table = LeaseTable()
    for owner in ("1", "2", "3"):
        ask(table, owner, "a b")
    ask(table, "4", "c")
    table.drop(["1"])
    kept = KeptTable.model_validate_json(table.kept().model_dump_json())
    assert len(kept.key_sets) == 2
    again = LeaseTable(kept)
    assert (again.claimants(), again.to_tell()) == (table.claimants(), table.to_tell())


def test_a_state_that_would_be_too_large_takes_a_claim_for_the_whole_scope() -> None:
    table = LeaseTable()
    size = MAX_KEPT_CHARS // 8 // 3
    for owner in ("1", "2", "3", "4"):
        assert ask(table, owner, " ".join(f"{owner}.{number}" for number in range(size))).granted == (owner < "4")
    assert not ask(table, "5", "something else").granted
    assert len(table.kept().model_dump_json()) < MAX_KEPT_CHARS + 10_000
    table.drop(["1", "2", "3"])
    assert claims(LeaseTable(table.kept())) == {"4": True, "5": False}


def test_the_keys_of_ten_thousand_relations_are_a_small_message() -> None:
    keys = pack_keys(f"database.schema.relation_{number}" for number in range(10_000))
    assert len(keys) < 70_000


def test_a_lease_includes_one_for_less_in_the_same_scope() -> None:
    assert lease("a b").includes(lease("b"))
    assert not lease("a").includes(lease("a b"))
    assert not lease("a").includes(lease("a").model_copy(update={"scope": "other"}))


events = st.lists(
    st.tuples(st.sampled_from("1234"), st.sets(st.sampled_from("abc")).map(lambda words: " ".join(sorted(words)))),
    max_size=30,
)


@given(events)
def test_no_two_have_the_same_and_the_oldest_claim_has_what_it_wants(steps: list[tuple[str, str]]) -> None:
    table = LeaseTable()
    wanted: dict[str, set[str]] = {}
    for owner, names in steps:
        if names:
            answer = ask(table, owner, names)
            wanted[owner] = wanted[owner] | set(names.split()) if _had(wanted, owner, names) else set(names.split())
            assert answer.granted == claims(table)[owner]
        else:
            table.drop([owner])
            wanted.pop(owner, None)
        granted = [owner for owner, has in claims(table).items() if has]
        for one in granted:
            assert all(wanted[one].isdisjoint(wanted[other]) for other in granted if other != one)
        assert table.empty or table.claimants()[0].granted


def _had(wanted: dict[str, set[str]], owner: str, names: str) -> bool:
    return owner in wanted and wanted[owner] >= set(names.split())
