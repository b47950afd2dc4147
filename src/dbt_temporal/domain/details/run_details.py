"""Temporal's Current Details of a run: where it stands, and in the end what it came to and what can be done then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from dbt_temporal.domain.details.markdown import code, plain
from dbt_temporal.domain.run.state import RunState, first_line

MAX_NAMED = 5
"""How many nodes of a kind are named while the run goes on, when they are told again with every change."""
MAX_NAMED_AT_END = 25


@dataclass
class RunFacts:
    """What the details tell besides the state.

    Attributes:
        headline: what was asked, in dbt's words.
        project: its name, once it is known.
        outcome: what the run has ended as (passed, failed, skipped, cancelled); None as long as it goes on.
        why_skipped: why a skipped run was.
        places: by what lies there (log, report, ...), the path or URL.
        retry_command: what runs again what did not succeed; None where that is not possible.
        hook_errors: failures of lifecycle hooks, in words.
        hook_place: the id of the workflow that is waited for, where that is a hook's.
    """

    headline: str = ""
    project: str | None = None
    outcome: str | None = None
    why_skipped: str | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    retry_command: str | None = None
    hook_errors: list[str] = field(default_factory=list)
    hook_place: str | None = None


def details(state: RunState, facts: RunFacts) -> str:
    """The details as Markdown: a few lines as long as the run goes on, more of them at its end."""
    ended = facts.outcome is not None
    most = MAX_NAMED_AT_END if ended else MAX_NAMED
    paragraphs = [f"**{facts.outcome or state.phase}**: {_counts(state)}", _asked(facts)]
    if state.notice and not ended:
        place = f": workflow id {code(facts.hook_place)}" if facts.hook_place else ""
        paragraphs.append(plain(state.notice) + place)
    if facts.why_skipped:
        paragraphs.append(f"Skipped: {plain(first_line(facts.why_skipped))}")
    paragraphs += [f"{plain(what)}: {plain(first_line(message))}" for what, message in state.problems]
    if not ended:
        paragraphs.append(_in_line("Running", state.ids_of("running"), most))
        paragraphs.append(_listed("Tried again", state.retries, state.retries.__getitem__, most))
    paragraphs.append(_listed("Failed", state.ids_of("error"), state.reason_of, most))
    paragraphs.append(_in_line("Cancelled", state.ids_of("cancelled"), most))
    paragraphs.append(_listed("Skipped", state.ids_of("skipped"), state.reason_of, most))
    if ended:
        paragraphs += [f"Hook failed: {plain(first_line(error))}" for error in facts.hook_errors[:most]]
        paragraphs.append(_stored(facts.places))
        if facts.retry_command is not None:
            paragraphs.append(f"To run again what did not succeed: {code(facts.retry_command)}")
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def in_short(state: RunState) -> str:
    """Where the run stands, as Markdown on one short line."""
    running = state.ids_of("running")
    if not running:
        return _counts(state)
    return f"{_counts(state)}: {code(next(iter(running)))}{_and_more(running, 1, ' ')}"


def _stored(places: Mapping[str, str]) -> str:
    # Without a line of its own it would go on with the list before it.
    lines = [f"- {what}: {code(place)}" for what, place in places.items()]
    return "\n".join(["Stored:\n", *lines]) if lines else ""


def _counts(state: RunState) -> str:
    counts = state.counts
    done = len(state.statuses) - counts["pending"] - counts["running"]
    parts = [f"{done} of {len(state.statuses)} nodes done"]
    parts += [f"{counts[key]} {key}" for key in ("running", "error", "skipped", "cancelled") if counts[key]]
    return ", ".join(parts)


def _asked(facts: RunFacts) -> str:
    asked = code(facts.headline) if facts.headline else ""
    return f"{asked} in project {code(facts.project)}" if asked and facts.project else asked


def _in_line(title: str, unique_ids: Mapping[str, None], most: int) -> str:
    if not unique_ids:
        return ""
    return f"{title}: " + ", ".join(code(each) for each in islice(unique_ids, most)) + _and_more(unique_ids, most, " ")


def _listed(title: str, unique_ids: Mapping[str, object], reason_of: Callable[[str], str], most: int) -> str:
    if not unique_ids:
        return ""
    lines = [f"- {code(each)}: {plain(reason_of(each))}" for each in islice(unique_ids, most)]
    return "\n".join([f"{title}:\n", *lines]) + _and_more(unique_ids, most, "\n- ")


def _and_more(unique_ids: Mapping[str, object], most: int, before: str) -> str:
    return f"{before}and {len(unique_ids) - most} more" if len(unique_ids) > most else ""
