import os
from pathlib import Path

from dbt_temporal.adapters.dbt_core.parents.fingerprint import changed, state_of
from dbt_temporal.adapters.dbt_core.parents.parse_key import ALL_FLAGS, ParseSettings, flags_digest
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.run.input import DbtRunInput

LOCATION = ProjectLocation(Path("/shop"), Path("/shop"), revision="1", target="dev")


def test_runs_that_parse_the_same_share_a_key() -> None:
    one = ParseSettings.of(LOCATION, None, {"a": 1, "b": 2}, {"X": "1", "Y": "2"})
    other = ParseSettings.of(LOCATION, "dev", {"b": 2, "a": 1}, {"Y": "2", "X": "1"})

    assert one.key == other.key


def test_everything_that_parsing_sees_is_in_the_key() -> None:
    base = ParseSettings.of(LOCATION, None, {"a": 1}, {"X": "1"})
    others = [
        ParseSettings.of(ProjectLocation(Path("/other"), Path("/shop"), "1", target="dev"), None, {"a": 1}, {"X": "1"}),
        ParseSettings.of(ProjectLocation(Path("/shop"), Path("/other"), "1", target="dev"), None, {"a": 1}, {"X": "1"}),
        ParseSettings.of(ProjectLocation(Path("/shop"), Path("/shop"), "2", target="dev"), None, {"a": 1}, {"X": "1"}),
        ParseSettings.of(LOCATION, "prod", {"a": 1}, {"X": "1"}),
        ParseSettings.of(LOCATION, None, {"a": 2}, {"X": "1"}),
        ParseSettings.of(LOCATION, None, {"a": 1}, {"X": "2"}),
    ]

    assert len({base.key, *(other.key for other in others)}) == 1 + len(others)


def test_the_target_comes_by_dbts_names_for_it_in_its_order() -> None:
    by_env = [{"DBT_TARGET": "b"}, {"DBT_ENGINE_TARGET": "a", "DBT_TARGET": "b"}, {"DBT_TARGET": ""}, {}]
    assert [ParseSettings.of(LOCATION, None, {}, env).target for env in by_env] == ["b", "a", "dev", "dev"]
    assert ParseSettings.of(LOCATION, "prod", {}, {"DBT_ENGINE_TARGET": "a"}).target == "prod"


def test_flags_that_parsing_reads_tell_runs_apart_and_others_do_not() -> None:
    plain, selecting = DbtRunInput(command="run"), DbtRunInput(command="run", select="orders")
    for names, same in (((), True), (("which",), True), (("select",), False), ((ALL_FLAGS,), False)):
        assert (flags_digest(plain, names) == flags_digest(selecting, names)) is same
    assert flags_digest(plain, ["which"]) != flags_digest(DbtRunInput(command="test"), ["which"])
    deferring = DbtRunInput(command="run", defer_manifest_ref="/prod/manifest.json", env={"A": "b"})
    assert flags_digest(plain, ["defer"]) != flags_digest(deferring, ["defer"])
    assert flags_digest(plain, ["full_refresh"]) == flags_digest(deferring, ["full_refresh"])


def test_variables_may_hold_integers_of_any_length() -> None:
    first, second = (ParseSettings("/p", "/p", vars={"account": 2**70 + more}) for more in (0, 1))
    assert first.key != second.key


def test_the_key_does_not_show_values_of_env() -> None:
    assert "hunter2" not in ParseSettings.of(LOCATION, None, {}, {"PASSWORD": "hunter2"}).key


def test_what_a_revision_stands_for() -> None:
    def covered(revision: str | None, changeable: bool) -> str:
        return ParseSettings.of(ProjectLocation(Path("/shop"), Path("/shop"), revision, changeable=changeable)).covered

    assert covered("1", False) == "folder"
    assert covered("1", True) == "sources"
    assert covered(None, True) == "nothing"


def test_a_file_or_folder_is_no_longer_as_it_was(tmp_path: Path) -> None:
    file, later = tmp_path / "macros" / "a.sql", tmp_path / "later.json"
    file.parent.mkdir()
    file.write_text("one")
    states = {str(path): state_of(str(path)) for path in (file, file.parent, later)}
    assert changed(states) is None

    later.write_text("{}")
    assert changed(states) == str(later)
    later.unlink()
    (file.parent / "b.sql").write_text("two")
    assert changed(states) == str(file.parent)
    file.write_text("three")
    assert changed(states) == str(file)


def test_a_link_that_leads_elsewhere_is_no_longer_as_it_was(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (0, 0))
    current = tmp_path / "current"
    current.symlink_to("1")
    states = {str(current): state_of(str(current))}
    current.unlink()
    current.symlink_to("2")
    assert changed(states) == str(current)
