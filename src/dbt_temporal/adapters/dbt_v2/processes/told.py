"""What one process of dbt v2 has told of its nodes and hooks so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from dbt_temporal.adapters.dbt_v2.processes.events import KNOWN_LOG_VERSION, Event
from dbt_temporal.domain.log.said import marked

CANCELLED = "TaskCancelled"
"""dbt's name of the error of a statement that was ended because the process was to end."""
SAID = frozenset({"JinjaLogInfo", "PrintEvent", "ShowNode", "DebugCmdOut", "DebugCmdResult"})
"""What a node, a hook or a macro says on dbt's console, beside dbt's own progress."""
SHOWN = frozenset({"CompiledNode", "ShowNode"})
GOOD = frozenset({"success", "pass", "warn", "no-op", "reused"})
BAD = frozenset({"error", "fail", "runtime error", "partial success"})
_WARNINGS = "Generic"
INLINE = "inline"
"""What dbt calls the model that an inline query is, where it does not show it."""


@dataclass
class Told:
    """A node or a hook.

    Attributes:
        status: dbt's word once it has ended, else empty.
        started_at, executing_at, finished_at: ISO 8601; empty where it has not come so far.
        seconds: how long it took.
        failures: of a test.
        error_name, error: of what kind its error is, and its text; empty where it has none.
        log: lines of all that was logged of it.
        said: what it said on dbt's console, each marked (`domain.log.said`).
        shown: of `compile` and `show`, its code, and its rows.
    """

    unique_id: str
    status: str = ""
    started_at: str = ""
    executing_at: str = ""
    finished_at: str = ""
    seconds: float = 0.0
    failures: int | None = None
    error_name: str = ""
    error: str = ""
    log: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    shown: str = ""

    @property
    def finished(self) -> bool:
        return bool(self.status)

    @property
    def cancelled(self) -> bool:
        """Whether its statement was ended because the process was."""
        return self.error_name == CANCELLED


class ProcessTold:
    """All of one process.

    Attributes:
        nodes, hooks: by unique_id, in the order in which they began.
        errors: of no node or hook: kinds and texts.
        notes: what was said and warned of, of no node, each marked.
        printed: what was printed of no node.
        completed: whether dbt has come to its end; then `success` is its word of it.
        log_version: of the events.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Told] = {}
        self.hooks: dict[str, Told] = {}
        self.errors: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.printed: list[str] = []
        self.completed = False
        self.success = False
        self.log_version: int = KNOWN_LOG_VERSION

    @property
    def has_begun(self) -> bool:
        """Whether a node has begun, so that what comes before the nodes is over."""
        return any(node.started_at or node.finished for node in self.nodes.values())

    @property
    def failed_hook(self) -> Told | None:
        """The first hook that has failed."""
        return next((hook for hook in self.hooks.values() if hook.status in BAD), None)

    def hear(self, event: Event) -> None:
        """Takes in an event."""
        match event.name:
            case "MainReportVersion":
                self.log_version = event.data.get("log_version", 0)
            case "CommandCompleted":
                self.completed, self.success = True, bool(event.data.get("success"))
            case "LogHookStartLine" | "LogHookEndLine":
                self._hear_of_hook(event)
            case "NodeStart" | "NodeExecuting" | "NodeFinished":
                self._hear_of_node(event)
            case _ if event.level == "error":
                self._hear_error(event)
        self._keep_text(event)

    def _hear_of_hook(self, event: Event) -> None:
        hook = self.hooks.setdefault(event.unique_id, Told(event.unique_id, started_at=event.at))
        if event.name == "LogHookEndLine":
            hook.status = str(event.data.get("status") or "error")
            hook.seconds = float(event.data.get("execution_time") or 0.0)
            hook.finished_at = event.at

    def _hear_of_node(self, event: Event) -> None:
        node = self._node(event.unique_id)
        if event.name == "NodeStart":
            node.started_at = event.at
        elif event.name == "NodeExecuting":
            node.executing_at = event.at
        else:
            result = event.data.get("run_result") or {}
            node.status = str(result.get("status") or event.data["node_info"].get("node_status") or "error")
            node.seconds = float(result.get("execution_time") or 0.0)
            node.failures = result.get("num_failures")
            node.finished_at = event.at

    def _hear_error(self, event: Event) -> None:
        name, text = event.coded
        about = self._about(event.unique_id) or self._hook_that_waits_for_its_error()
        if about is None:
            self.errors.append((name, text))
        elif not about.error:
            about.error_name, about.error = name, text
        else:
            about.error += f"\n{text}"

    def _hook_that_waits_for_its_error(self) -> Told | None:
        """dbt tells why a hook has failed right after it, without naming it."""
        return next((hook for hook in self.hooks.values() if hook.status in BAD and not hook.error), None)

    def _keep_text(self, event: Event) -> None:
        about = self._about(event.unique_id)
        sql = event.data.get("sql") if event.name == "SQLQuery" else None
        text = sql or event.data.get("preview") or event.message
        if about is not None:
            about.log.append(f"{event.at} [{event.level}] {text}")
        shown = self._shown_node(event)
        if event.name in SHOWN and shown is not None:
            shown.shown = str(event.data.get("compiled") or text)
        says = event.name in SAID
        if not says and not (event.level == "warn" and event.name == _WARNINGS):
            return
        if about is None:
            (shown.said if shown is not None else self.notes).append(marked(text, event.kind))
            if event.name == "PrintEvent":
                self.printed.append(text)
        else:
            about.said.append(marked(text, event.kind))

    def _shown_node(self, event: Event) -> Told | None:
        """The node that is shown, which has another name there where it is an inline query."""
        if event.data.get("is_inline"):
            return next((node for node in self.nodes.values() if node.unique_id.endswith(f".{INLINE}")), None)
        return self.nodes.get(str(event.data.get("unique_id") or ""))

    def _about(self, unique_id: str) -> Told | None:
        if not unique_id:
            return None
        return self.hooks.get(unique_id) or self._node(unique_id)

    def _node(self, unique_id: str) -> Told:
        return self.nodes.setdefault(unique_id, Told(unique_id))
