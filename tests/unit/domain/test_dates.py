from datetime import UTC, datetime, timedelta

import pytest

from dbt_temporal.domain.dates.logical_dates import LogicalDates, in_utc, read_interval
from dbt_temporal.domain.dates.templates import FILTERS, TemplateError, fill, has_placeholder, names_in

DATES = LogicalDates(
    scheduled_time="2026-03-29T23:30:00+00:00", data_interval_start="2026-03-28T23:30:00+00:00", schedule_id="nightly"
).by_name


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ scheduled_time }}", "2026-03-29T23:30:00+00:00"),
        ("{{data_interval_end}}", "2026-03-29T23:30:00+00:00"),
        ("{{ data_interval_start | ts }}", "2026-03-28T23:30:00+00:00"),
        ("from {{ data_interval_start | date }} to {{ data_interval_end|date }}", "from 2026-03-28 to 2026-03-29"),
        ("{{ scheduled_time | zone('Europe/Berlin') | date }}", "2026-03-30"),
        ("{{ scheduled_time | zone(America/New_York) }}", "2026-03-29T19:30:00-04:00"),
        ("{{ scheduled_time | date_nodash }}", "20260329"),
        ("{{ scheduled_time | add_days(-1) | date }}", "2026-03-28"),
        ("{{ scheduled_time | add_days( 3 ) | start_of_month | date }}", "2026-04-01"),
        ("{{ scheduled_time | add_months(-1) | date }}", "2026-02-28"),
        ("{{ scheduled_time | add_months(11) | date }}", "2027-02-28"),
        ("{{ scheduled_time | start_of_day }}", "2026-03-29T00:00:00+00:00"),
        ("{{ scheduled_time | start_of_hour | add_minutes(-15) }}", "2026-03-29T22:45:00+00:00"),
        # The clock on the wall jumps from 2 to 3 in this night: a day is one of the calendar, an hour is an hour.
        ("{{ data_interval_start | zone('Europe/Berlin') | add_days(1) }}", "2026-03-30T00:30:00+02:00"),
        ("{{ data_interval_start | zone('Europe/Berlin') | add_hours(2) }}", "2026-03-29T03:30:00+02:00"),
    ],
)
def test_dates_are_filled_in(text: str, filled: str) -> None:
    assert has_placeholder(text)
    assert fill(text, DATES) == filled
    assert fill(filled, {}) == filled


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "{{ ref('orders') }}",
        "{{ this.schema }}",
        "{{ (scheduled_time) }}",
        "{{ 1 + 1 }}",
        "{{ open",
        "}} {{",
        "",
    ],
)
def test_what_is_the_projects_own_is_left_as_it_is(text: str) -> None:
    assert not has_placeholder(text)
    assert list(names_in(text)) == []
    assert fill(text, {}) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "{{ schedule_time }}",
            r"there is no such date \(did you mean scheduled_time\?\): scheduled_time, data_interval",
        ),
        ("{{ ds }}", "there is no such date: scheduled_time, data_interval_start, data_interval_end"),
        ("{{ scheduled_time | dat }}", r"there is no such filter as 'dat' \(did you mean date\?\): ts, date"),
        ("{{ scheduled_time | }}", "there is no such filter as ''"),
        ("{{ scheduled_time.date() }}", r"a date is written with filters alone, after \|: ts, date"),
        ("{{ scheduled_time - 1 }}", "a date is written with filters alone"),
        ("{{ scheduled_time | date | add_days(1) }}", "add_days comes after a filter that makes text; ts, date"),
        ("{{ scheduled_time | add_days }}", r"add_days takes a whole number: add_days\(-1\)"),
        ("{{ scheduled_time | add_days(1.5) }}", "add_days takes a whole number"),
        ("{{ scheduled_time | add_days(9999999) }}", "add_days leaves the years 1 to 9999"),
        ("{{ scheduled_time | add_months(-99999) }}", "add_months leaves the years 1 to 9999"),
        ("{{ scheduled_time | date('%Y') }}", "date takes nothing in parentheses"),
        ("{{ scheduled_time | zone('Europe/Atlantis') }}", "there is no such time zone"),
        ("{{ scheduled_time | zone('Europe') }}", "there is no such time zone"),
        ("{{ scheduled_time | zone('../etc') }}", "zone takes the name of a time zone"),
        ("{{ scheduled_time | zone('UTC) }}", "zone takes the name of a time zone"),
        ("{{ scheduled_time | zone() }}", r"zone takes the name of a time zone: zone\(Europe/Berlin\)"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_what_is_allowed(text: str, reason: str) -> None:
    assert has_placeholder(text)
    with pytest.raises(TemplateError, match=reason) as refused:
        list(names_in(text))
    assert text not in str(refused.value)
    with pytest.raises(TemplateError):
        fill(text, DATES)


def test_a_date_that_nothing_tells_is_not_filled() -> None:
    dates = LogicalDates(scheduled_time="2026-01-31T06:00:00+00:00").by_name
    assert fill("{{ data_interval_end | date }}", dates) == "2026-01-31"
    with pytest.raises(TemplateError, match="nothing says what data_interval_start is"):
        fill("{{ data_interval_start }}", dates)


def test_each_filter_is_one_as_it_is_written_in_the_list() -> None:
    for name in FILTERS:
        text = f"{{{{ scheduled_time | {name.replace('(n)', '(1)')} }}}}"
        assert list(names_in(text)) == ["scheduled_time"]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", timedelta(minutes=90)), ("1h", timedelta(hours=1)), ("1d", timedelta(days=1)),
        ("2w", timedelta(weeks=2)), ("0d", None), ("1", None), ("-1d", None), ("1 day", None), ("", None),
    ],
)  # fmt: skip
def test_an_interval_is_a_number_with_a_unit(text: str, length: timedelta | None) -> None:
    assert read_interval(text) == length


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert in_utc("2026-01-31T06:00:00") == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert in_utc("2026-01-31T06:00:00+02:00").isoformat() == "2026-01-31T04:00:00+00:00"


def test_the_log_says_what_a_run_is_for() -> None:
    dates = LogicalDates(scheduled_time="B", data_interval_start="A", schedule_id="nightly")
    assert dates.in_words() == "The run is for B by the schedule 'nightly'; data from A on"
    assert LogicalDates(scheduled_time="B").in_words() == "The run is for B"
