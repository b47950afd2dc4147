"""A project of ours with the user's profile: dbt v2 tells of the target by it, and ends sessions in the database.

It has macros alone, so it is parsed at once; `run-operation` runs no hooks.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import yaml

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.project_files import PROJECT_FILE

NAME = "dbt_temporal_helper"
_MACROS = """
{% macro target_facts() %}
  {% set facts = {'name': target.name, 'type': target.type, 'threads': target.threads} %}
  {% do facts.update({'profile': target.profile_name}) %}
  {% for key in ['database', 'schema', 'host', 'port', 'path'] %}
    {% do facts.update({key: target.get(key)}) %}
  {% endfor %}
  {{ print(tojson(facts)) }}
{% endmacro %}

{% macro end_sessions(prefix) %}
  {% set found = run_query(
    "select count(pg_terminate_backend(pid)) as ended from pg_stat_activity where application_name like '" ~ prefix
    ~ "%' and pid <> pg_backend_pid()"
  ) %}
  {{ print(tojson({'found': found.columns[0].values()[0] | int})) }}
{% endmacro %}
"""
SESSIONS_CAN_BE_ENDED = frozenset({"postgres"})
"""Adapters whose servers tell sessions apart by the name that PGAPPNAME gives them."""
SESSION_VARIABLE = "PGAPPNAME"


def this_worker() -> str:
    """A name of this worker, for people."""
    return f"{socket.gethostname()} (process {os.getpid()})"


def session_name(invocation_id: str, number: int | None = None) -> str:
    """What sessions of a run, or of one of its processes, are called in the database, in PostgreSQL's 63 characters."""
    of_run = f"dbt-temporal {invocation_id}/"
    return of_run if number is None else f"{of_run}{number}/"


def helper_project(folder: Path, profile: Any) -> Path:
    """The folder of the helper for a profile, by its name as dbt_project.yml has it; made where there is none."""
    digest = hashlib.sha256(f"{profile!r}{_MACROS}".encode()).hexdigest()[:16]
    project = folder / digest
    if not (project / PROJECT_FILE).is_file():
        with private_copies.unfinished_copy(folder) as made:
            (made / "macros").mkdir()
            (made / "macros" / "helper.sql").write_text(_MACROS, encoding="utf-8")
            content = yaml.safe_dump({"name": NAME, "version": "1.0", "profile": profile})
            (made / PROJECT_FILE).write_text(content, encoding="utf-8")
            private_copies.publish(made, project)
    return project
