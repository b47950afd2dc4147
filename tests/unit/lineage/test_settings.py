import sys
from pathlib import Path

import pytest

from dbt_temporal.adapters.openlineage.start import INSTALL, start_lineage
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.settings import SettingsError, read_settings

URL = {"OPENLINEAGE_URL": "http://localhost:5000"}


def test_nothing_is_sent_unless_somebody_says_where() -> None:
    assert not read_settings({}).lineage.on
    assert not read_settings({"OPENLINEAGE_NAMESPACE": "shop"}).lineage.on
    assert start_lineage(read_settings({}).lineage) is None


def test_a_url_or_a_file_turns_it_on_and_disabled_off(tmp_path: Path) -> None:
    file = tmp_path / "openlineage.yml"
    file.write_text("transport: {type: console}")
    assert read_settings(URL).lineage.on
    assert read_settings({"OPENLINEAGE_CONFIG": str(file)}).lineage.on
    assert not read_settings({**URL, "OPENLINEAGE_DISABLED": "true"}).lineage.on


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENLINEAGE__TRANSPORT__TYPE": "console"},
        {"OPENLINEAGE__TRANSPORT": '{"type": "console"}'},
        {"OPENLINEAGE__TRANSPORT__TYPE": "http", "OPENLINEAGE__TRANSPORT__URL": "http://localhost:5000"},
    ],
)
def test_variables_of_openlineages_client_turn_it_on_too(variables: dict[str, str]) -> None:
    assert read_settings(variables).lineage.on
    assert not read_settings({**variables, "OPENLINEAGE_DISABLED": "true"}).lineage.on


@pytest.mark.parametrize("other", [URL, {"OPENLINEAGE__FACETS__ENVIRONMENT_VARIABLES": "[]"}])
def test_variables_of_the_client_that_say_nothing_of_where_change_nothing(other: dict[str, str]) -> None:
    assert not read_settings(other).lineage.by_client_variables


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        ("console", "=***: must be a transport as JSON"),
        ("[]", "=***: must be a transport as JSON"),
        ('{"url": "http://localhost:5000"}', ": has no `type`, and OPENLINEAGE__TRANSPORT__TYPE is not set"),
    ],
)
def test_a_transport_of_which_the_client_would_make_nothing_is_refused(transport: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"OPENLINEAGE__TRANSPORT": transport})
    (problem,) = refused.value.problems
    assert problem.startswith(f"OPENLINEAGE__TRANSPORT{message}")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OPENLINEAGE_URL", "localhost:5000", "must be a URL, such as http://localhost:5000"),
        ("OPENLINEAGE_CONFIG", "/no/such/openlineage.yml", "is not a file: give the path of an openlineage.yml"),
        ("OPENLINEAGE_DISABLED", "perhaps", "must be true or false"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_allowed(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({name: value})
    assert refused.value.problems == [f"{name}={value!r}: {message}"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("transport: {url: http://localhost}", "has no `transport` with a `type`"),
        ("[]", "has no `transport` with a `type`"),
        ("transport: {type: http}", "url"),
        ("transport: {type: no.such.Transport}", "no.such"),
        ("transport: [", "parsing"),
    ],
)
def test_a_configuration_of_which_no_client_can_be_made_is_refused(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "openlineage.yml"
    file.write_text(content)
    with pytest.raises(DbtTemporalError, match="no client of OpenLineage can be made of these") as refused:
        start_lineage(read_settings({"OPENLINEAGE_CONFIG": str(file)}).lineage)
    assert refused.value.error_type is ErrorType.CONFIGURATION
    assert message in refused.value.message


def test_where_its_package_is_missing_the_worker_says_so_and_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    monkeypatch.delitem(sys.modules, "dbt_temporal.adapters.openlineage.sender", raising=False)
    assert start_lineage(read_settings(URL).lineage) is None
    assert INSTALL in caplog.text
