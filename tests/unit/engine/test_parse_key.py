from pathlib import Path

from dbt_temporal.adapters.dbt_core.parents.fingerprint import fingerprint
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.application.ports.engine import ProjectLocation

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


def test_variables_may_hold_integers_of_any_length() -> None:
    first, second = (ParseSettings("/p", "/p", vars={"account": 2**70 + more}) for more in (0, 1))
    assert first.key != second.key


def test_the_key_does_not_show_values_of_env() -> None:
    assert "hunter2" not in ParseSettings.of(LOCATION, None, {}, {"PASSWORD": "hunter2"}).key


def test_the_fingerprint_changes_with_what_dbt_parses_and_with_nothing_else(tmp_path: Path) -> None:
    model = tmp_path / "models" / "a.sql"
    model.parent.mkdir()
    model.write_text("select 1")
    before = fingerprint(str(tmp_path))

    (tmp_path / "shop.duckdb").write_text("data")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "a.sql").write_text("compiled")
    assert fingerprint(str(tmp_path)) == before

    model.write_text("select 22")
    assert fingerprint(str(tmp_path)) != before


def test_a_file_is_fingerprinted_like_a_folder(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.yml"
    missing = fingerprint(str(profiles))
    profiles.write_text("shop: {}")
    before = fingerprint(str(profiles))
    profiles.write_text("shop: {outputs: {}}")

    assert len({missing, before, fingerprint(str(profiles))}) == 3


def test_what_the_revision_says_nothing_of_is_looked_at() -> None:
    def unrevised(profiles_dir: str, revision: str | None, changeable: bool) -> list[str]:
        location = ProjectLocation(Path("/shop"), Path(profiles_dir), revision, changeable=changeable)
        return ParseSettings.of(location).unrevised

    assert unrevised("/shop", "1", False) == []
    assert unrevised("/secrets", "1", False) == ["/secrets/profiles.yml"]
    assert unrevised("/shop", "1", True) == ["/shop/dbt_modules", "/shop/dbt_packages"]
    assert unrevised("/secrets", None, True) == ["/shop", "/secrets"]


def test_an_edit_of_a_package_that_is_a_link_is_seen_and_one_of_the_project_in_it_is_not(tmp_path: Path) -> None:
    around, packages = tmp_path / "utils", tmp_path / "utils" / "integration_tests" / "dbt_packages"
    packages.mkdir(parents=True)
    (packages / "utils").symlink_to(around)
    before = fingerprint(str(packages))

    (packages.parent / "own.sql").write_text("select 1")
    assert fingerprint(str(packages)) == before

    (around / "m.sql").write_text("select 1")
    assert fingerprint(str(packages)) != before
