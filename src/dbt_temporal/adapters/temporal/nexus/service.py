"""What callers in other namespaces are offered. Imported by their workflows, which need not have dbt."""

from __future__ import annotations

import nexusrpc

from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput

SERVICE = "dbt-temporal"


@nexusrpc.service(name=SERVICE)
class DbtNexusService:
    """The Nexus service of workers with TEMPORAL_NEXUS.

    Attributes:
        dbt_run: the operation `dbt-run`: runs dbt, and ends with the run. It fails with the failure of the workflow
            `dbt_run`; cancelling it cancels the run.
    """

    dbt_run: nexusrpc.Operation[DbtRunInput, DbtRunOutput] = nexusrpc.Operation(name="dbt-run")
