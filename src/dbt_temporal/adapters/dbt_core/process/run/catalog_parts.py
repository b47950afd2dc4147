"""What dbt's `docs generate` asks the database for, whole or part by part.

dbt asks once for each information schema: for each database, on some warehouses for each schema. It decides that
itself here too: its task is run with the questions taken out of it, and again with the answers put in.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0, dbt-adapters 1.22: `GenerateTask.run`, the flags by
which it compiles and makes a static page, that it selects anew; `BaseAdapter.get_catalog` and
`get_catalog_by_relations`, which call `_get_one_catalog` and `_get_one_catalog_by_relations`.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import agate
from dbt import selected_resources
from dbt.adapters.base.impl import BaseAdapter
from dbt.artifacts.schemas.catalog import CatalogArtifact
from dbt.constants import CATALOG_FILENAME
from dbt.task.docs import generate
from dbt_common.clients.agate_helper import Integer, ISODateTime, Number

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun

Table = dict[str, Any]
"""One of agate's, as JSON has it."""
_Ask = Callable[[], agate.Table]
_Answer = Callable[[str, _Ask], agate.Table]

_WHOLE = ("get_filtered_catalog", "get_catalog", "get_catalog_by_relations")
_ONE = ("_get_one_catalog", "_get_one_catalog_by_relations")


def part_names(run: HostRun) -> list[str]:
    """The parts of the catalog; none where dbt asks but once, or the adapter asks in a way of its own."""
    questions = _questions(run)
    return sorted(questions) if len(questions) > 1 else []


def fetch_part(run: HostRun, name: str) -> list[Table]:
    """Asks the database for a part. Raises what the adapter raises."""
    with run.adapter.connection_named(f"catalog.{name}"):
        return [_as_json(ask()) for ask in _questions(run)[name]]


def assembled(run: HostRun, answers: Mapping[str, list[Table] | str]) -> dict[str, Any]:
    """The catalog's document, of the tables of its parts or the errors that these have ended with."""
    left = {name: given if isinstance(given, str) else list(given) for name, given in answers.items()}

    def answer(name: str, _ask: _Ask) -> agate.Table:
        given = left[name]
        if isinstance(given, str):
            raise RuntimeError(given)
        return _as_table(given.pop())

    with _aside(run), _answered_by(run.adapter, answer):
        return generated(run)[1]


def generated(run: HostRun) -> tuple[CatalogArtifact, dict[str, Any]]:
    """By dbt's whole task, but that nodes are compiled by now, and its static page is made of the artifacts."""
    task: generate.GenerateTask = run.task
    folder = Path(task.config.project_target_path)
    folder.mkdir(parents=True, exist_ok=True)
    own_args, task.args = task.args, copy.copy(run.flags)
    queue, selected = task.job_queue, selected_resources.SELECTED_RESOURCES
    try:
        if not own_args.compile:
            task.job_queue = None  # then dbt knows of no selection
        for name in ("compile", "static"):
            bootstrap.set_flag(task.args, name, False)
        artifact = task.run()
    finally:
        task.args, task.job_queue = own_args, queue
        # dbt selects sources for the catalog, when all is compiled; here ephemeral models may follow.
        selected_resources.set_selected_resources(selected)
    return artifact, wire.loads((folder / CATALOG_FILENAME).read_bytes())


def _questions(run: HostRun) -> dict[str, list[_Ask]]:
    """What dbt would ask, by the name of what is asked; nothing is. It is found out once in a host."""
    with run.lock:
        if run.catalog is None:
            run.catalog = _asked_by_dbt(run)
        return run.catalog


def _asked_by_dbt(run: HostRun) -> dict[str, list[_Ask]]:
    adapter = run.adapter
    if any(getattr(type(adapter), name) is not getattr(BaseAdapter, name) for name in _WHOLE):
        return {}
    questions: dict[str, list[_Ask]] = {}

    def note(name: str, ask: _Ask) -> agate.Table:
        questions.setdefault(name, []).append(ask)
        return agate.Table([])

    with _aside(run), _answered_by(adapter, note):
        generated(run)
    return questions


@contextlib.contextmanager
def _answered_by(adapter: BaseAdapter, answer: _Answer) -> Iterator[None]:
    def instead_of(ask: Callable[..., agate.Table]) -> Callable[..., agate.Table]:
        return lambda schema, *rest: answer(_name(schema), partial(ask, schema, *rest))

    for name in _ONE:
        setattr(adapter, name, instead_of(getattr(adapter, name)))
    try:
        yield
    finally:
        for name in _ONE:
            delattr(adapter, name)


@contextlib.contextmanager
def _aside(run: HostRun) -> Iterator[None]:
    """Within the block dbt's task says nothing, and writes to a folder of this block alone, which goes with it.

    Other hosts of the run may do the same at the same time, and their target folder is the same.
    """
    with run.lock, tempfile.TemporaryDirectory(dir=run.run_dir) as folder:
        fire_event, config = generate.fire_event, run.task.config
        generate.fire_event = lambda *_: None
        run.task.config = copy.copy(config)
        run.task.config.target_path = folder
        try:
            yield
        finally:
            generate.fire_event, run.task.config = fire_event, config


def _name(information_schema: Any) -> str:
    path = information_schema.path
    return ".".join(str(each) for each in (path.database, path.schema) if each) or "default"


_TYPES: dict[str, agate.DataType] = {
    type(each).__name__: each
    for each in (Integer(), Number(), agate.Date(), agate.DateTime(), ISODateTime(), agate.Boolean(), agate.Text())
}
_READ: dict[str, Callable[[str], Any]] = {
    "Number": Decimal,
    "Date": date.fromisoformat,
    "DateTime": datetime.fromisoformat,
    "ISODateTime": datetime.fromisoformat,
}


def _as_json(table: agate.Table) -> Table:
    types = [type(each).__name__ for each in table.column_types]
    return {
        "names": list(table.column_names),
        "types": types,
        "rows": [
            [
                str(value) if value is not None and kind in _READ else value
                for kind, value in zip(types, row, strict=True)
            ]
            for row in table.rows
        ],
    }


def _as_table(table: Table) -> agate.Table:
    names, types = table["names"], table["types"]
    rows = [
        agate.Row(
            [
                _READ[kind](value) if value is not None and kind in _READ else value
                for kind, value in zip(types, row, strict=True)
            ],
            names,
        )
        for row in table["rows"]
    ]
    # Values are what they were: agate would read their texts anew.
    return agate.Table(rows, names, [_TYPES[kind] for kind in types], _is_fork=True)
