"""dbt-temporal: dbt projects as durable Temporal workflows.

What `__all__` names is public (docs/embedding.md), as far as it can be imported here. A name is imported when somebody
first asks for it: the package itself imports nothing, as dbt imports it in each of its processes. Their types are in
`__init__.pyi`.
"""

__version__ = "0.1.0"

_HOMES = {
    "ArtifactPaths": "domain.results",
    "DbtClient": "entrypoints.embedding.client",
    "DbtInProcess": "entrypoints.embedding.in_process",
    "DbtNexusService": "adapters.temporal.nexus.service",
    "DbtRunFailedError": "entrypoints.embedding.failures",
    "DbtRunHandle": "entrypoints.embedding.client",
    "DbtRunInput": "domain.run.input",
    "DbtRunOutput": "domain.results",
    "DbtRunState": "entrypoints.embedding.state",
    "DbtTemporalError": "domain.errors",
    "Ending": "application.ports.runs",
    "ErrorType": "domain.errors",
    "HookConfig": "domain.hooks",
    "HookError": "domain.hooks",
    "HooksConfig": "domain.hooks",
    "NodeExecutionResult": "domain.results",
    "execute_child_run": "entrypoints.embedding.child",
    "execute_nexus_run": "entrypoints.embedding.nexus",
    "input_schema": "entrypoints.embedding.schemas",
    "output_of_failure": "entrypoints.embedding.failures",
    "output_schema": "entrypoints.embedding.schemas",
    "run_dbt": "entrypoints.embedding.in_process",
}

_WITH_DBT = ("DbtInProcess", "run_dbt")
"""What the client alone does not have."""


def __getattr__(name: str) -> object:
    if name == "__all__":
        # `import *` asks for each name that stands there.
        globals()[name] = ["__version__", *(each for each in _HOMES if each not in _WITH_DBT or _is_there(each))]
        return globals()[name]
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        message = f"dbt_temporal.{name} needs the package {error.name}: install dbt-temporal, not its client alone"
        raise ImportError(message, name=error.name) from error
    globals()[name] = value
    return value


def _is_there(name: str) -> bool:
    try:
        __getattr__(name)
    except ImportError:
        return False
    return True


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
