"""dbt's exit codes (https://docs.getdbt.com/reference/exit-codes), which are those of all our commands."""

SUCCESS = 0
NODE_FAILED = 1
COULD_NOT_RUN = 2
"""Also that of a run that was interrupted."""
