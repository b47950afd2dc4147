"""What Temporal takes: 2 MiB for a payload, beyond which a run could neither go on nor end."""

from __future__ import annotations

from dbt_temporal.application.ports.runtime import Budget

MAX_ARGUMENTS_BYTES = 1_900_000
"""Of a workflow, all together; encryption adds some bytes to each."""
QUIET_ARGUMENTS_BYTES = 500_000
"""Beyond that the SDK warns of them."""

TEMPORAL_BUDGET = Budget(
    output_bytes=1_800_000,
    hook_bytes=1_900_000,
    # The input of a step is compressed on its way: at worst to the half.
    step_results_bytes=2_500_000,
    log_bytes=1_500_000,
    message_chars=16_000,
    code_chars=500_000,
    input_chars=8_000,
)
