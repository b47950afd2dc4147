"""A project that nobody may write to is run all the same, and stays as it was."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import ROOT, readme_program

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1


def _obey_permissions() -> None:
    """Takes root's right to ignore permissions from the program that is about to start; others never had it."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0):
        os._exit(99)


def _contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def _set_writable(folder: Path, writable: bool) -> None:
    for path in [folder, *folder.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode | 0o200 if writable else mode & ~0o222)


@pytest.mark.every_dbt_version
def test_a_project_without_write_permission_is_built_and_stays_unchanged(tmp_path: Path) -> None:
    project = tmp_path / "examples" / "jaffle-shop"
    shutil.copytree(ROOT / "examples" / "jaffle-shop", project)
    before = _contents(project)
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "nowhere"),
        "JAFFLE_SHOP_DB": str(tmp_path / "jaffle_shop.duckdb"),
        "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache"),
    }
    _set_writable(project, False)
    try:
        refused = subprocess.run(
            [sys.executable, "-c", f"open({str(project / 'new')!r}, 'w')"],
            preexec_fn=_obey_permissions,
            capture_output=True,
            text=True,
        )
        done = subprocess.run(
            [sys.executable, "-c", readme_program()],
            cwd=tmp_path,
            env=environment,
            preexec_fn=_obey_permissions,
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        _set_writable(project, True)
    assert "PermissionError" in refused.stderr, "the folder is not read-only here"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("success ")
    assert _contents(project) == before
