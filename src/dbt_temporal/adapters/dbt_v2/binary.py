"""The program of dbt v2 on this machine."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

BINARY_VARIABLE = "DBT_TEMPORAL_V2_BINARY"


class V2Settings(EnvironmentModel):
    """Where dbt v2 is."""

    binary: str | None = variable(BINARY_VARIABLE, None, allowed="the path of the program of dbt v2, or its name")


TESTED_VERSIONS = ("2.0.0-preview.190",)
_NAMES = ("dbtf", "dbt")
"""What dbt's makers call it. `dbt` may be dbt-core too, which is a script of Python's."""
_SCRIPT = b"#!"
_VERSION = re.compile(r"^(?P<product>dbt[a-z-]*)[ =]+(?P<version>(?P<major>\d+)\.\d\S*)", re.MULTILINE)
_ANSWERS_WITHIN_SECS = 60.0

logger = logging.getLogger("dbt_temporal.engine")


@dataclass(frozen=True)
class V2Binary:
    """The program, and what it says that it is."""

    path: Path
    product: str
    version: str


def find_binary(configured: str | None, environ: Mapping[str, str]) -> Path | None:
    """Where the program is, without starting it: the configured one, else one of its names on the PATH; None where
    there is none."""
    path = environ.get("PATH")
    if configured is not None:
        found = shutil.which(configured, path=path)
        return None if found is None else Path(found).absolute()
    for name in _NAMES:
        found = shutil.which(name, path=path)
        if found is not None and not _is_script(Path(found)):
            return Path(found).absolute()
    return None


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SCRIPT)) == _SCRIPT
    except OSError:
        return True


def missing_binary(configured: str | None) -> DbtTemporalError:
    """What is to be said where there is no such program."""
    where = f"{BINARY_VARIABLE}={configured!r} is no program" if configured else "there is none on the PATH"
    return configuration_error(
        f"the engine v2 needs the program of dbt v2, and {where}: install it as docs/engines.md says, and name its "
        f"path in {BINARY_VARIABLE}; or let the project run on dbt-core (`engine: dbt-core` in dbt_temporal.yml)"
    )


async def read_binary(path: Path, environ: Mapping[str, str]) -> V2Binary:
    """Asks a program what it is.

    Raises:
        DbtTemporalError: of type Configuration, where it is not dbt v2.
    """
    try:
        process = await asyncio.create_subprocess_exec(path, "--version", env=dict(environ), stdout=PIPE, stderr=STDOUT)
        async with asyncio.timeout(_ANSWERS_WITHIN_SECS):
            output, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise configuration_error(f"the program of dbt v2 ({path}) does not start: {error}") from error
    text = output.decode(errors="replace").strip()
    found = _VERSION.search(text)
    if found is None or process.returncode != 0:
        raise configuration_error(f"{path} is not dbt v2: it calls itself {text.splitlines()[:1] or 'nothing'}")
    if found["major"] != "2":
        raise configuration_error(
            f"{path} is {found['product']} {found['version']}, and the engine v2 is for dbt 2; name another program in "
            f"{BINARY_VARIABLE}, or run the project on dbt-core"
        )
    if found["version"] not in TESTED_VERSIONS:
        logger.warning(
            "dbt %s was not tested with this version of dbt-temporal (tested: %s)",
            found["version"],
            ", ".join(TESTED_VERSIONS),
        )
    return V2Binary(path, found["product"], found["version"])
