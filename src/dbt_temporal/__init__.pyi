from dbt_temporal.adapters.temporal.nexus.service import DbtNexusService
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.hooks import HookConfig, HookError, HooksConfig
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput, NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.embedding.child import execute_child_run
from dbt_temporal.entrypoints.embedding.client import DbtClient, DbtRunHandle
from dbt_temporal.entrypoints.embedding.failures import DbtRunFailedError, output_of_failure
from dbt_temporal.entrypoints.embedding.in_process import DbtInProcess, run_dbt
from dbt_temporal.entrypoints.embedding.nexus import execute_nexus_run
from dbt_temporal.entrypoints.embedding.schemas import input_schema, output_schema
from dbt_temporal.entrypoints.embedding.state import DbtRunState

__all__ = [
    "ArtifactPaths",
    "DbtClient",
    "DbtInProcess",
    "DbtNexusService",
    "DbtRunFailedError",
    "DbtRunHandle",
    "DbtRunInput",
    "DbtRunOutput",
    "DbtRunState",
    "DbtTemporalError",
    "Ending",
    "ErrorType",
    "HookConfig",
    "HookError",
    "HooksConfig",
    "NodeExecutionResult",
    "__version__",
    "execute_child_run",
    "execute_nexus_run",
    "input_schema",
    "output_of_failure",
    "output_schema",
    "run_dbt",
]

__version__: str
