"""Runs in this process, without Temporal: for embedders and tests."""

from dbt_temporal.adapters.in_process.runtime import HookFunction, InProcessRuntime, run_in_process

__all__ = ["HookFunction", "InProcessRuntime", "run_in_process"]
