import pytest

from dbt_temporal.adapters.dbt_core.process.command_line import event_time


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (None, None),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T06:00:00", "2026-01-31T06:00:00"),
        ("2026-01-31T06:00:00Z", "2026-01-31T06:00:00"),
        ("2026-01-31T00:30:00+02:00", "2026-01-30T22:30:00"),
        ("2026-01-31T06:00:00.25+00:00", "2026-01-31T06:00:00"),
        ("2026-01-31T06:00:00.25", "2026-01-31T06:00:00"),
    ],
)
def test_an_event_time_is_written_as_dbts_command_line_takes_it(given: str | None, taken: str | None) -> None:
    assert event_time(given) == taken
