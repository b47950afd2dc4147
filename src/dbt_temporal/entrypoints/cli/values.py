"""The values of dbt's flags on our command line: how they are written, checked and turned into run input."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import yaml

from dbt_temporal.application.stored.earlier_runs import is_latest
from dbt_temporal.domain.dates.logical_dates import INTERVAL_FORM, read_interval
from dbt_temporal.domain.dates.templates import has_placeholder
from dbt_temporal.domain.run.invocation import is_invocation_id
from dbt_temporal.domain.validation import not_json

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def read_vars(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, Any]:
    """Reads `--vars`: a YAML (or JSON) mapping in one string, as dbt takes it.

    What JSON does not have (dates, keys that are no text) is refused: as text it would take another way in models.
    """
    return _read_mapping(ctx, param, value, "vars")


def read_mapping(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Reads the mapping of another flag as `read_vars` reads `--vars`."""
    return None if value is None else _read_mapping(ctx, param, value, str(param.name))


def read_sample(ctx: click.Context, param: click.Parameter, value: str | None) -> str | dict[str, Any] | None:
    """Reads `--sample`: a number and a grain, or a mapping of two instants."""
    if value is None or not value.lstrip().startswith("{"):
        return value
    window = _read_mapping(ctx, param, value, "sample", yaml.BaseLoader)  # dates stay texts
    if window.keys() != {"start", "end"}:
        raise click.BadParameter(f"{value!r}; write it like '3 days' or '{{start: 2026-01-01, end: ...}}'", ctx, param)
    return window


def _read_mapping(
    ctx: click.Context, param: click.Parameter, value: str, field: str, loader: type[yaml.BaseLoader] | None = None
) -> dict[str, Any]:
    try:
        document = yaml.load(value, loader or yaml.SafeLoader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise click.BadParameter(f"{value!r} is not valid YAML: {reason}", ctx, param) from error
    if not isinstance(document, dict):
        raise click.BadParameter(f"{value!r} is not a mapping; write it like '{{name: value}}'", ctx, param)
    problem = not_json(document, field)
    if problem is not None:
        raise click.BadParameter(problem, ctx, param)
    return document


def read_event_time(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Reads `--event-time-start` and `--event-time-end`: RFC 3339, with a time zone only if one was written.

    One that is to be filled with a date is left as it is.
    """
    return value if value is not None and has_placeholder(value) else read_instant(ctx, param, value)


def read_instant(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Reads `--scheduled-time` as `read_event_time` reads the others, which may be filled with it."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).isoformat()
    except ValueError as error:
        allowed = "2026-01-31, 2026-01-31T06:00:00 or 2026-01-31T06:00:00+00:00"
        raise click.BadParameter(f"{value!r} is not a date or time; write it like {allowed}", ctx, param) from error


def read_length(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Reads `--data-interval`: a number and a unit."""
    if value is not None and read_interval(value) is None:
        raise click.BadParameter(f"{value!r} must be {INTERVAL_FORM}", ctx, param)
    return value


def read_environment(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Reads the repeated `--env KEY=VALUE`; the last of a key counts.

    The value is never repeated in a message: it may be a secret. Nor is what was written without `=`.
    """
    return dict(_key_and_text(ctx, param, written) for written in values)


def read_env_references(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    """Reads the repeated `--env-from KEY=env:NAME` and `--env-from KEY=file:/PATH` as references to secrets."""
    environment = {}
    for written in values:
        key, text = _key_and_text(ctx, param, written)
        kind, _, target = text.partition(":")
        if kind not in ("env", "file") or not target or (kind == "file" and not target.startswith("/")):
            # What stands there may be the secret itself, given to the wrong flag.
            raise click.BadParameter(f"{key}: write {key}=env:VARIABLE or {key}=file:/ABSOLUTE/PATH", ctx, param)
        environment[key] = {f"from_{kind}": target}
    return environment


def _key_and_text(ctx: click.Context, param: click.Parameter, written: str) -> tuple[str, str]:
    key, separator, text = written.partition("=")
    if not separator:
        raise click.BadParameter("a value without `=`; write KEY=VALUE", ctx, param)
    if not _ENVIRONMENT_NAME.fullmatch(key):
        allowed = "letters, digits and _, not beginning with a digit"
        raise click.BadParameter(f"{key!r} is not the name of an environment variable ({allowed})", ctx, param)
    return key, text


def artifact_reference(flag: str, value: str | None, file_name: str, *others: str) -> str | None:
    """Where the worker finds an artifact that a flag names: a URL, a file, or a folder that holds `file_name`.

    A name of an earlier run (`latest`, `latest:prod`, an invocation id) is the worker's to find.

    A folder of this machine without it may hold one of the others. A local path is made absolute, and must exist: the
    worker reads the file under the same path.

    Raises:
        click.BadParameter: naming the flag, the value and what is allowed.
    """
    if value is None:
        return None
    if is_latest(value) or is_invocation_id(value):
        return value
    if _URL.match(value):
        return value if value.endswith(".json") else f"{value.rstrip('/')}/{file_name}"
    path = Path(value).expanduser()
    if path.is_dir() or path.suffix != ".json":
        path = next((path / name for name in (file_name, *others) if (path / name).is_file()), path / file_name)
    if not path.is_file():
        raise click.BadParameter(
            f"{value!r}: there is no {path.name} at {path.absolute()}; "
            f"give a folder that holds a {file_name}, the file itself, or its URL",
            param_hint=f"'{flag}'",
        )
    return str(path.absolute())


def joined(values: tuple[str, ...]) -> str | None:
    """The values of a repeatable selection flag as one selection: a union, as in dbt. None where none was given."""
    text = " ".join(value.strip() for value in values if value.strip())
    return text or None
