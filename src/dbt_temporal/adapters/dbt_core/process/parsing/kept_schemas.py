"""dbt's JSON schemas, kept in the cache folder: they follow from dbt's classes alone, and take longer than a parse.

dbt makes the schema of a class when it first checks something by it. What one process has made, the templates of later
workers with the same packages read, so that no parse waits for it.

Checked on dbt-core 1.11.16 and 1.12.0, dbt-common 1.37 and 1.39: `dbtClassMixin.json_schema` makes a plain JSON
document, by which `validate` checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from dbt_common.dataclass_schema import dbtClassMixin

_OF_DBT = frozenset({"dbt", "dbt_common", "dbt_semantic_interfaces"})
"""The packages whose classes are known by their versions."""
_MAKERS = ("dbt_", "mashumaro-", "typing_extensions-")
"""What the folders of the distributions that schemas follow from begin with."""


class KeptSchemas:
    """Takes the place of `dbtClassMixin.json_schema`, in this process and its forks.

    Args:
        file: where they lie; a file that cannot be read counts as none.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept = _read(file)
        self._has_new = False

    def take(self) -> None:
        """Has all of dbt's classes ask here first."""
        make = dbtClassMixin.__dict__["json_schema"].__func__

        def json_schema(cls: type) -> dict[str, Any]:
            return self._of(cls, make)

        dbtClassMixin.json_schema = classmethod(json_schema)

    def save(self) -> None:
        """Writes those that were made since, for later workers; a folder that takes no file is no fault."""
        if not self._has_new:
            return
        self._has_new = False
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            begun = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            begun.write_bytes(orjson.dumps({**_read(self._file), **self._kept}))
            begun.replace(self._file)  # whoever reads it at the moment has a whole one

    def _of(self, cls: type, make: Callable[[type], dict[str, Any]]) -> dict[str, Any]:
        if cls.__module__.partition(".")[0] not in _OF_DBT or "<locals>" in cls.__qualname__:
            return make(cls)
        name = f"{cls.__module__}.{cls.__qualname__}"
        schema = self._kept.get(name)
        if schema is None:
            schema = self._kept[name] = make(cls)
            self._has_new = True
        return schema


def schemas_file(folder: Path) -> Path | None:
    """The file for the packages of this process; None where some are edited in place, and any start may be another."""
    found = [sys.version]
    for path in sys.path:
        with contextlib.suppress(OSError):
            for entry in os.scandir(path or "."):
                if _makes_schemas(entry.name):
                    if _is_edited_in_place(Path(entry.path)):
                        return None
                    found.append(f"{entry.path} {os.stat(entry.path).st_mtime_ns}")
    return folder / f"{hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:32]}.json"


def _makes_schemas(name: str) -> bool:
    return name.startswith(_MAKERS) and name.endswith(".dist-info") and not name.startswith("dbt_temporal-")


def _is_edited_in_place(dist_info: Path) -> bool:
    try:
        origin = orjson.loads((dist_info / "direct_url.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return bool(origin.get("dir_info", {}).get("editable"))


def _read(file: Path) -> dict[str, Any]:
    try:
        kept = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return kept if isinstance(kept, dict) else {}
