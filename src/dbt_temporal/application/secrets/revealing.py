"""The secrets of one run on this worker: references resolved, and known values kept out of what leaves the engine."""

from __future__ import annotations

from collections.abc import Mapping

from dbt_temporal.application.ports.secrets import SecretResolver
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.redaction import Redactor, secret_values
from dbt_temporal.domain.secrets.references import SecretReference, references


async def resolve_env(env: Mapping[str, str | SecretReference], resolver: SecretResolver) -> dict[str, str]:
    """An `env` with a value in place of every reference.

    Raises:
        DbtTemporalError: of type Configuration, naming each key and reference that has no value here.
    """
    resolved: dict[str, str] = {}
    problems: list[str] = []
    for key, value in env.items():
        if isinstance(value, str):
            resolved[key] = value
            continue
        try:
            resolved[key] = await resolver.resolve(value)
        except LookupError as error:
            problems.append(f"env.{key} ({value}): {error.args[0]}")
    if problems:
        raise configuration_error("; ".join(problems)) from None
    return resolved


async def reveal(
    invocation: DbtInvocation, resolver: SecretResolver, worker_env: Mapping[str, str]
) -> tuple[DbtInvocation, Redactor]:
    """The invocation as the engine needs it, and what hides its secrets again.

    Raises:
        DbtTemporalError: of type Configuration, as `resolve_env`.
    """
    sent = invocation.input.env
    env = await resolve_env(sent, resolver)
    redactor = Redactor(secret_values(env, referenced=references(sent), worker_env=worker_env))
    if env == sent:
        return invocation, redactor
    run_input = invocation.input.model_copy(update={"env": env})
    return invocation.model_copy(update={"input": run_input}), redactor
