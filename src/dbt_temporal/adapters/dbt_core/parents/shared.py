"""Parses that the workers of one artifact store share: fetched before a project is parsed, offered after that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any
from uuid import uuid4

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.channel import Channel, EventHandler
from dbt_temporal.adapters.dbt_core.parents.packing import HOLDS_SECRET
from dbt_temporal.adapters.dbt_core.parents.parse_file import ParseFileError, seal, unseal
from dbt_temporal.application.ports.artifact_store import ArtifactStore, StoredFile
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.secrets.redaction import names_a_secret

FOLDER = "parses"
"""Of the store, beside the folders of runs."""
FETCH_SECS = 30.0
"""Longer than that nobody waits for a parse that may not be there."""
OFFER_SECS = 600.0
MAX_FILES = 64
MAX_AGE_SECS = 30 * 24 * 3600.0
MAX_TOTAL_BYTES = 2 * 1024**3
_PACKING = "dbt_temporal.adapters.dbt_core.parents.packing"
_NO_KEY = b""
_FOLDERS = frozenset({"PWD", "OLDPWD"})
"""The shell's own; of other programs', PWD is a password."""

logger = logging.getLogger(__name__)


class SharedParses:
    """Whatever goes wrong here is a warning, and the project is parsed as if nothing were shared.

    Args:
        store: where they lie.
        environ: the worker's environment; a parse in which the value of a secret of it stands is not shared.
        keys: those of the worker that seal the files, the first one for new ones; without them, a seal only shows that
            a file is whole.
    """

    def __init__(self, store: ArtifactStore, environ: Mapping[str, str], keys: Sequence[bytes] = ()) -> None:
        self._store = store
        self._secrets = {
            name: value for name, value in environ.items() if names_a_secret(name) and name not in _FOLDERS
        }
        self._keys = list(keys) or [_NO_KEY]
        self._offers: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Task[None]] = set()

    async def fetch(self, key: str, place: Path) -> bool:
        """Puts the parse of this key, without its seal, into a file. False where there is none that can be used."""
        try:
            async with asyncio.timeout(FETCH_SECS):
                file = await self._store.read(_path(key))
            if file is None:
                return False
            await asyncio.to_thread(lambda: place.write_bytes(unseal(file, self._keys)))
            return True
        except TimeoutError:
            problem = f"it was not there within {FETCH_SECS:g} seconds"
        except Exception as error:  # a parent waits for the answer, whatever has happened
            problem = str(error) or type(error).__name__
        logger.warning(
            "the parse %s is not used, and the project is parsed anew: %s", self._store.location(_path(key)), problem
        )
        return False

    def answers(self, channel: Channel) -> EventHandler:
        """What answers the parent at the other end of the channel when it asks for a parse."""

        async def answer(message: wire.Message) -> None:
            found = await self.fetch(message["key"], Path(message["place"]))
            with contextlib.suppress(DbtTemporalError):  # it has ended, which whoever started it hears of
                await channel.request(wire.PARSE_WANTED, found=found)

        def hear(message: wire.Message) -> None:
            task = asyncio.get_running_loop().create_task(answer(message), context=Context())
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

        return hear

    def offer(self, project: str, header: Mapping[str, Any], file: Path, work_dir: Path) -> None:
        """Stores a parse in the background; it moves the file into a folder below `work_dir` at once."""
        folder = work_dir / uuid4().hex
        taken = folder / "parse"
        try:
            folder.mkdir(parents=True, mode=0o700)
            file.rename(taken)
        except OSError as error:
            logger.warning("the parse of %s is not shared: %s", project, error)
            return
        task = asyncio.get_running_loop().create_task(self._offer(project, header, taken), context=Context())
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)
        task.add_done_callback(lambda _: shutil.rmtree(folder, ignore_errors=True))

    async def close(self) -> None:
        """Gives up what is under way."""
        under_way = [*self._offers, *self._answers]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def settle(self) -> None:
        """Waits until what was offered is stored, or has failed."""
        await asyncio.gather(*self._offers, return_exceptions=True)

    async def _offer(self, project: str, header: Mapping[str, Any], file: Path) -> None:
        packed = file.with_name("packed")
        try:
            async with asyncio.timeout(OFFER_SECS):
                order = {"file": str(file), "out": str(packed), "header": header, "secrets": self._secrets}
                secret = await _pack(order)
                if secret is not None:
                    logger.info("the parse of %s is not shared: the value of %s stands in it", project, secret)
                    return
                content = await asyncio.to_thread(lambda: seal(packed.read_bytes(), self._keys[0]))
                await self._store.write(_path(header["key"]), content)
                logger.info("the parse of %s is shared: %s", project, self._store.location(_path(header["key"])))
                await self._remove_old()
        except Exception as error:  # of the store's, the disk's or the other process's kind
            logger.warning("the parse of %s is not shared: %s", project, str(error) or type(error).__name__)

    async def _remove_old(self) -> None:
        for path in too_many(await self._store.list_files(FOLDER), time.time()):
            await self._store.delete(path)


def too_many(files: Sequence[StoredFile], now: float) -> list[str]:
    """Those that go: the old ones, and of the others all but the newest ones that are within the limits."""
    gone, total = [], 0
    for number, file in enumerate(sorted(files, key=lambda file: file.modified, reverse=True)):
        total += file.size
        if number >= MAX_FILES or total > MAX_TOTAL_BYTES or now - file.modified > MAX_AGE_SECS:
            gone.append(file.path)
    return gone


def _path(key: str) -> str:
    return f"{FOLDER}/{key}.parse"


async def _pack(order: Mapping[str, Any]) -> str | None:
    """Has the other process pack a parse. Returns the name of the secret's variable that keeps it from that."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _PACKING, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        printed, complaint = await process.communicate(json.dumps(order).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == HOLDS_SECRET:
        return printed.decode().strip()
    if process.returncode != 0:
        raise ParseFileError(f"packing it failed: {complaint.decode(errors='replace').strip()[-500:]}")
    return None
