"""The dates that a run is for, and its input with them in place of `{{ scheduled_time }}` and its like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.schedules import Schedules
from dbt_temporal.application.steps.messages import PlanProjectInput
from dbt_temporal.domain.dates.logical_dates import LogicalDates, in_utc, read_interval
from dbt_temporal.domain.dates.templates import TemplateError, fill, names_in
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input

DATES_FILE = "dates.json"
"""Beside the artifacts of a run that is for a time: what a retry of it is for."""
_TIMES = ("event_time_start", "event_time_end")
_START = "data_interval_start"


def dates_used(run_input: DbtRunInput) -> set[str]:
    """The names of the dates that an input holds, of those in `templates.NAMES`.

    Raises:
        DbtTemporalError: of type Configuration, naming the field of one that cannot be filled.
    """
    used: set[str] = set()
    for place, text in _texts(run_input):
        used.update(_told(place, partial(list[str], names_in(text))))
    return used


def with_dates(run_input: DbtRunInput, dates: LogicalDates | None) -> DbtRunInput:
    """The input with the dates filled in; the same object where it holds none.

    Raises:
        DbtTemporalError: of type Configuration, naming the field of what cannot be filled, or is wrong when it is.
    """
    if not dates_used(run_input):
        return run_input
    by_name = {} if dates is None else dates.by_name

    def filled(place: str, value: Any) -> Any:
        if isinstance(value, str):
            return _told(place, lambda: fill(value, by_name))
        if isinstance(value, Mapping):
            return {key: filled(f"{place}.{key}", member) for key, member in value.items()}
        if isinstance(value, list):
            return [filled(f"{place}[{position}]", member) for position, member in enumerate(value)]
        return value

    fields = {name for name in (*_TIMES, "vars", "env") if getattr(run_input, name)}
    changed = run_input.model_copy(update={name: filled(name, getattr(run_input, name)) for name in fields})
    return parse_run_input(changed.model_dump(mode="json", exclude_unset=True))


class DatesOfRun:
    """Finds out what a run is for."""

    def __init__(self, store: ArtifactStore, schedules: Schedules | None) -> None:
        self._store = store
        self._schedules = schedules

    async def __call__(self, request: PlanProjectInput, run_input: DbtRunInput) -> LogicalDates | None:
        """The dates: what the input says, else those of the run that is retried, else what the schedule meant, else the
        run's own start.

        Args:
            request: what Temporal knows of the run.
            run_input: with places in the store instead of names of earlier runs.

        Returns:
            None where nobody has asked: no schedule, no time in the input, and nothing to fill.

        Raises:
            DbtTemporalError: of type Configuration, naming what is wrong; of the store; of the schedules.
        """
        used = dates_used(run_input)
        dates = self._said(run_input) or await self._retried(run_input) or _scheduled(request)
        if dates is None and not used and run_input.data_interval is None:
            return None
        dates = dates or LogicalDates(scheduled_time=in_utc(request.started_at).isoformat())
        if run_input.data_interval is not None:
            return dates.model_copy(update={_START: _start_of(run_input.data_interval, dates)})
        if _START in used and dates.data_interval_start is None:
            return dates.model_copy(update={_START: await self._time_before(dates, run_input)})
        return dates

    def _said(self, run_input: DbtRunInput) -> LogicalDates | None:
        said = run_input.scheduled_time
        return None if said is None else LogicalDates(scheduled_time=in_utc(said).isoformat())

    async def _retried(self, run_input: DbtRunInput) -> LogicalDates | None:
        folder = _folder_of(run_input.retry_from, self._store.location("any"))
        content = None if folder is None else await self._store.read(f"{folder}/{DATES_FILE}")
        try:
            return None if content is None else LogicalDates.model_validate_json(content)
        except ValidationError as error:
            raise configuration_error(f"retry_from: cannot read {DATES_FILE} of {run_input.retry_from}") from error

    async def _time_before(self, dates: LogicalDates, run_input: DbtRunInput) -> str:
        if dates.schedule_id is None or self._schedules is None:
            place = next(place for place, text in _texts(run_input) if _START in names_in(text))
            raise configuration_error(
                f"{place}: nothing says where the data interval of this run begins, which no schedule has started; "
                "give data_interval, such as 1d"
            )
        before = await self._schedules.time_before(dates.schedule_id, in_utc(dates.scheduled_time))
        return before.isoformat()


def _scheduled(request: PlanProjectInput) -> LogicalDates | None:
    start = request.scheduled
    if start is None:
        return None
    return LogicalDates(scheduled_time=in_utc(start.time).isoformat(), schedule_id=start.schedule_id)


def _start_of(interval: str, dates: LogicalDates) -> str:
    length = read_interval(interval)
    assert length is not None  # the input was checked
    try:
        return (in_utc(dates.scheduled_time) - length).isoformat()
    except OverflowError as error:
        raise configuration_error(
            f"data_interval: {interval} before {dates.scheduled_time} there is no time"
        ) from error


def _folder_of(retry_from: str | None, any_place: str) -> str | None:
    """The folder of the retried run below the store's root; None where it lies elsewhere."""
    root = any_place.removesuffix("any")
    if retry_from is None or not retry_from.startswith(root):
        return None
    return retry_from.removeprefix(root).partition("/")[0] or None


def _texts(run_input: DbtRunInput) -> Iterator[tuple[str, str]]:
    """All texts that may hold dates, each with its place."""
    for name in (*_TIMES, "vars", "env"):
        yield from _texts_in(name, getattr(run_input, name))


def _texts_in(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _texts_in(f"{place}.{key}", member)
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _texts_in(f"{place}[{position}]", member)


def _told(place: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except TemplateError as error:
        shown = "" if place.startswith("env.") else f" {error.shown}"  # perhaps part of a secret
        raise configuration_error(f"{place}:{shown} cannot be filled: {error}") from error
