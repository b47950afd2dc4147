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
