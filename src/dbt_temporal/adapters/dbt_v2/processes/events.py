"""The lines that dbt v2 writes with `--log-format json`, one event each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from dbt_temporal.domain.log.said import Kind

KNOWN_LOG_VERSION = 3
_CODED = re.compile(r"^\[(?:error|warning)\](?: \[(?P<name>\w+)(?: \((?P<code>\w+)\))?\])?:? ?")
_BACKTRACE = re.compile(r"\n +0: .*\Z", re.DOTALL)


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        name: of its kind, by dbt.
        code: likewise; empty where it has none.
        level: debug, info, warn or error.
        unique_id: the node or hook that it is about; empty where it is about none.
        message: as dbt's console shows it.
        at: when, in ISO 8601.
        data: what else it has.
    """

    name: str
    level: str
    unique_id: str
    message: str
    at: str
    data: Mapping[str, Any]
    code: str = ""

    @property
    def kind(self) -> Kind:
        """What it is, for the run's log."""
        return Kind.of(self.name, self.code, self.level)

    @property
    def coded(self) -> tuple[str, str]:
        """dbt's name of an error's kind, empty where it has none, and the text itself."""
        found = _CODED.match(self.message)
        text = _BACKTRACE.sub("", self.message[found.end() :] if found else self.message)
        return (found["name"] or "") if found else "", text.strip()


def read_event(line: bytes) -> Event | None:
    """The event of a line; None for what is none, such as a panic's text."""
    try:
        read = orjson.loads(line)
        info, data = read["info"], read["data"]
        node = data.get("node_info") or {}
        about, code = node.get("unique_id") or "", info.get("code") or ""
        return Event(info["name"], info["level"], about, info["msg"], info["ts"], data, code)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
