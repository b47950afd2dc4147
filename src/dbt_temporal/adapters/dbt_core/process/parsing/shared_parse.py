"""What a parse of another worker must have in common with ours, so that it is good for us.

The name of the shared file stands for what is known before a parse, its header for what parsing has read. dbt then
checks the rest as it does with each partial-parse file: the contents of all files above all.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: the keys of its partial-parse file (`files`,
`env_vars`), `load_source_file` (which trusts a YAML file's time, and reads it only where that is another),
`InvocationContext._env`, `FileHash.from_contents`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
from dbt.constants import DEFAULT_ENV_PLACEHOLDER
from dbt.contracts.files import FileHash, ParseFileType
from dbt.flags import get_flags
from dbt_common.clients.system import load_file_contents
from dbt_common.constants import SECRET_ENV_PREFIX
from dbt_common.context import get_invocation_context

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.parents.packing import ENV_VARS
from dbt_temporal.adapters.dbt_core.parents.parse_file import ParseFileError, unpack
from dbt_temporal.adapters.dbt_core.parents.parse_key import ALL_FLAGS, PARSED_BY
from dbt_temporal.adapters.project_files import content_revision

_FORMAT = 2
"""Counts up with each change of ours that makes parses of before useless."""
_IN_METADATA = ("DBT_ENV_CUSTOM_ENV_", "DBT_ENGINE_ENV_CUSTOM_ENV_")
"""Variables that dbt copies into the manifest without being asked."""
_NEVER = -1.0
"""A time that no file has."""

Ask = Callable[[str, Path], bool]
"""Asks the worker to put the file of a key somewhere; whether there is one."""


class SharedParse:
    """One parse of a project parent, as far as other workers may have made it, or may use it.

    Args:
        message: the order to load the project.
        ask: how the file of another worker is got; None where nothing is shared.
    """

    def __init__(self, message: wire.Message, ask: Ask | None) -> None:
        self._message = message
        self._ask = None if message["packages"]["install"] else ask  # then packages lie elsewhere on each worker
        self._key = ""
        self._env: set[str] = set()
        self.taken = False
        """Whether dbt was given the parse of another worker."""
        self.flags: set[str] = set()
        """The flags that it has read: dbt does not read them anew, and a run with others has another parse."""

    def fetch(self, target_digest: str, used: Path) -> None:
        """Puts another worker's parse where dbt looks for it, if there is one for us, and if dbt would look."""
        if self._ask is None or not getattr(get_flags(), "PARTIAL_PARSE", True):
            return
        self._key = self._key_of(target_digest)
        file = used.with_name("shared_parse")
        if not self._key or not self._ask(self._key, file):
            return
        try:
            header, data = unpack(file.read_bytes())
            self._check(header)
            used.write_bytes(_at_home(data, header["env"]))
            self.taken, self.flags = True, set(header["read"])
        except Exception as error:  # whatever is in it: a parse of our own is never wrong
            print(f"the parse of another worker is not used, and the project is parsed anew: {error}", flush=True)
        finally:
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Takes note of the variables that are read within the block."""
        context = get_invocation_context()
        own = context._env
        context._env = _Noted(own, self._env.add)
        try:
            yield
        finally:
            context._env = own

    def header(self, flags: Collection[str]) -> dict[str, Any] | None:
        """What others must have in common with this parse, which was made from nothing; None where none can.

        `flags` are the names of those that it has read.
        """
        if not self._key or ALL_FLAGS in flags:
            return None
        salt = os.urandom(16).hex()
        env = sorted(name for name in self._env if not name.startswith(SECRET_ENV_PREFIX))
        return {
            "key": self._key,
            "flags": _flags({*flags, *PARSED_BY}),
            "read": sorted(flags),
            "env": env,
            "salt": salt,
            "values": _digest_of_values(env, salt),
        }

    def _key_of(self, target_digest: str) -> str:
        message = self._message
        try:
            content = content_revision(Path(message["project_dir"]))
        except OSError:  # dbt says what is wrong with it
            return ""
        parts = [
            _FORMAT,
            version("dbt-temporal"),
            sys.version,
            _installed(sys.path),
            # Nodes and files of a parse have paths in them.
            *(message[name] for name in ("project_dir", "profiles_dir", "cache_dir", "target", "vars")),
            message["packages"],
            content,
            target_digest,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def _check(self, header: Mapping[str, Any]) -> None:
        if header["key"] != self._key:
            raise ParseFileError("it lies in the place of another one")
        if header["flags"] != _flags(header["flags"]):
            raise ParseFileError("flags that it was parsed by are others here")
        if header["values"] != _digest_of_values(header["env"], header["salt"]):
            raise ParseFileError("variables that it was parsed by have other values here")


def _flags(names: Iterable[str]) -> dict[str, str]:
    flags = get_flags()
    return {name: repr(getattr(flags, name.upper(), None)) for name in names}


def _digest_of_values(names: Iterable[str], salt: str) -> str:
    """Stands for the values of variables. It takes a while, so that nobody finds a password by trying."""
    env = get_invocation_context().env
    own = {name for name in env if name.startswith(_IN_METADATA)}
    values = {name: env.get(name) for name in sorted({*names, *own})}
    digest = hashlib.scrypt(json.dumps(values).encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=32)
    return digest.hex()


def _installed(places: Iterable[str]) -> list[str]:
    """Names and versions of all that is installed: dbt's adapters, plugins, and what they use."""
    found: set[str] = set()
    for place in places:
        with contextlib.suppress(OSError):
            found |= {name for name in os.listdir(place or ".") if name.endswith((".dist-info", ".egg-info"))}
    return sorted(found)


def _at_home(data: bytes, env: Collection[str]) -> bytes:
    """dbt's data with what is of this machine: the times of files, and the values of variables.

    dbt takes a YAML file for unchanged where its time is, and times of files in images and archives are often all the
    same: so here a file keeps its time only if its content is that of the parse.
    """
    parse = msgpack.unpackb(data, raw=False, strict_map_key=False)
    for file in parse["files"].values():
        file["path"]["modification_time"] = _time_here(file)
    values = get_invocation_context().env
    if not set(parse[ENV_VARS]) <= set(env):
        raise ParseFileError("it does not say by which variables it was parsed")
    parse[ENV_VARS] = {name: values.get(name, DEFAULT_ENV_PLACEHOLDER) for name in parse[ENV_VARS]}
    content: bytes = msgpack.packb(parse, use_bin_type=True)
    return content


def _time_here(file: Mapping[str, Any]) -> float:
    path = file["path"]
    place = os.path.abspath(os.path.join(path["project_root"], path["searched_path"], path["relative_path"]))
    try:
        modified = os.path.getmtime(place)
        if file["parse_file_type"] != ParseFileType.Schema:
            return modified
        same = FileHash.from_contents(load_file_contents(place, strip=True)).checksum == file["checksum"]["checksum"]
    except OSError:
        return _NEVER
    return modified if same else _NEVER


class _Noted(dict[str, str]):
    """An environment that tells which of its variables are asked for."""

    def __init__(self, env: Mapping[str, str], note: Callable[[str], None]) -> None:
        super().__init__(env)
        self._note = note

    def __contains__(self, name: object) -> bool:
        self._note(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> str:
        self._note(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)
