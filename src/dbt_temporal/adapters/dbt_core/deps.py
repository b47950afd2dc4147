"""dbt's own `deps` in a project's folder, in a process of its own, as its command line does it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_DBT = "from dbt.cli.main import cli; cli(prog_name='dbt')"


def run_deps(project_dir: Path, profiles_dir: Path, options: Sequence[str], environ: Mapping[str, str]) -> int:
    """Installs a project's packages; what dbt prints goes where this process prints.

    Args:
        project_dir: the project, into whose folder they go.
        profiles_dir: where profiles.yml is, which packages.yml may read.
        options: further words of the command line.
        environ: the whole environment.

    Returns:
        dbt's exit code.
    """
    places = ["--project-dir", str(project_dir), "--profiles-dir", str(profiles_dir)]
    command = [sys.executable, "-c", _DBT, "deps", *places, *options]
    return subprocess.run(command, cwd=project_dir, env=dict(environ), check=False).returncode
