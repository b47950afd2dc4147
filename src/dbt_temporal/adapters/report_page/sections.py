"""The parts of the page that need no script: what failed, what took long, what waited, what has changed."""

from __future__ import annotations

from collections import Counter, defaultdict

from dbt_temporal.adapters.report_page.texts import cut, name, seconds, status, table, text, word
from dbt_temporal.domain.report import making
from dbt_temporal.domain.report.making import MAX_FAILURES, failed_above
from dbt_temporal.domain.report.model import Comparison, ReportNode, RunReport

MAX_MESSAGE_CHARS = 16_000
MAX_CODE_CHARS = 20_000
MAX_LISTED = 10
NOTEWORTHY_SECS = 0.05


def failures(report: RunReport) -> str:
    """Failed nodes with all that is known of them, then warnings."""
    failed = [node for node in report.nodes if node.is_failed]
    warned = [node for node in report.nodes if word(node.result) == "warn"]
    parts = []
    if failed:
        parts += ["<h2>Failed</h2>", *(_problem(node, is_open=len(failed) <= 3) for node in failed[:MAX_FAILURES])]
        if len(failed) > MAX_FAILURES:
            parts.append(f"<p>And {len(failed) - MAX_FAILURES} more: run_results.json has them all.</p>")
    if warned:
        parts += ["<h2>Warnings</h2>", *(_problem(node, is_open=False) for node in warned[:MAX_FAILURES])]
        if len(warned) > MAX_FAILURES:
            parts.append(f"<p>And {len(warned) - MAX_FAILURES} more.</p>")
    return "".join(parts)


def critical_path(report: RunReport) -> str:
    """The chain that took longest."""
    path = report.critical
    if len(path.nodes) < 2:
        return ""
    rows = [
        (name(node), text(node.facts.kind), seconds(node.span), _if_noteworthy(node.thread_wait), status(node.result))
        for node in path.nodes
    ]
    return (
        f"<h2>Critical path: {seconds(path.seconds)}</h2>"
        "<p class=soft>Each of these nodes waited for the one above it. Together they had threads for so long, which "
        "no number of threads makes shorter; their waits for a thread come on top.</p>"
        + table(("Node", "Kind", "#Had a thread for", "#Waited for one", "Status"), rows)
    )


def slowest(report: RunReport) -> str:
    """The nodes that took longest, with their SQL."""
    nodes = making.slowest(report.nodes)
    if not nodes:
        return ""
    total = sum(node.took for node in report.nodes)
    rows = [
        (
            name(node) + _code(node),
            text(node.facts.kind),
            seconds(node.took),
            f"{node.took / total:.0%}",
            text(_rows_of(node)),
            status(node.result),
        )
        for node in nodes
    ]
    return "<h2>Slowest</h2>" + table(("Node", "Kind", "#Took", "#Of all work", "#Rows", "Status"), rows)


def waits(report: RunReport) -> str:
    """What waited for a thread, what for a worker, and what others waited for."""
    ran = [node for node in report.nodes if node.started is not None]
    parts = []
    threads = [node for node in ran if node.thread_wait >= NOTEWORTHY_SECS]
    if threads:
        top = sorted(threads, key=lambda node: -node.thread_wait)[:MAX_LISTED]
        together = sum(node.thread_wait for node in threads)
        parts.append(
            f"<h2>Waited for a thread</h2><p class=soft>{len(threads)} of {len(ran)} nodes were ready and had no "
            f"thread, {seconds(together)} together: more than {report.facts.threads} threads would have started them "
            "sooner.</p>" + table(("Node", "#Waited", "#Ready at", "#Took"), [_thread_row(node) for node in top])
        )
    else:
        parts.append("<h2>Waited for a thread</h2><p class=soft>Nothing: there was always a thread left.</p>")
    by_id = {node.unique_id: node for node in report.nodes}
    last = Counter(node.last_parent for node in ran if node.last_parent in by_id)
    if last:
        rows = [
            (name(by_id[str(each)]), str(count), seconds(by_id[str(each)].span), seconds(by_id[str(each)].ended or 0.0))
            for each, count in sorted(
                last.items(), key=lambda item: (-item[1] * by_id[str(item[0])].span, str(item[0]))
            )
        ][:MAX_LISTED]
        parts.append(
            "<h2>Waited for a parent</h2><p class=soft>The parents that others waited for last, those first that held "
            "up most for longest.</p>" + table(("Parent", "#Was the last for", "#Had a thread for", "#Ended at"), rows)
        )
    workers = sorted((node for node in ran if node.worker_wait >= 0.5), key=lambda node: -node.worker_wait)[:MAX_LISTED]
    if workers:
        late = [(name(node), seconds(node.worker_wait), seconds(node.span)) for node in workers]
        parts.append(
            "<h2>Waited for a worker</h2><p class=soft>They had a thread of the run, but dbt began later: no worker "
            "was free, its process was not ready, or another process had the database.</p>"
            + table(("Node", "#Waited", "#Had a thread for"), late)
        )
    return "".join(parts)


def attempts(report: RunReport) -> str:
    """Nodes that were tried more than once."""
    again = [node for node in report.nodes if node.result.attempts > 1]
    if not again:
        return ""
    rows = [
        (
            name(node),
            str(node.result.attempts),
            seconds(sum(each.ended - each.began for each in node.failed)),
            "<br>".join(f"{text(seconds(each.began))}: {text(each.reason)}" for each in node.failed),
            status(node.result),
        )
        for node in again[:MAX_FAILURES]
    ]
    return "<h2>Tried again</h2>" + table(("Node", "#Attempts", "#Spent on failed ones", "Why", "Status"), rows)


def skipped(report: RunReport) -> str:
    """What did not run, by the reason."""
    by_id = {node.unique_id: node for node in report.nodes}
    groups: defaultdict[str, list[ReportNode]] = defaultdict(list)
    for node in report.nodes:
        if node.result.status == "skipped":
            cause = failed_above(node, by_id)
            groups[node.result.message or (f"{cause} did not succeed" if cause else "not told")].append(node)
    rows = [
        (text(cut(reason, 300)), str(len(nodes)), ", ".join(name(node) for node in nodes[:MAX_LISTED]) + _more(nodes))
        for reason, nodes in sorted(groups.items(), key=lambda group: -len(group[1]))[:MAX_FAILURES]
    ]
    return "<h2>Skipped</h2>" + table(("Because", "#Nodes", "Which"), rows) if rows else ""


def comparison(report: RunReport) -> str:
    """Beside the run before."""
    before = report.comparison
    if before is None:
        return ""
    lines = [_whole(report, before)]
    if before.common:
        lines.append(
            f"{before.common} nodes did well in both: they took {seconds(before.seconds)}, before "
            f"{seconds(before.before)}."
        )
    if before.added or before.gone:
        lines.append(f"{before.added} nodes ran now and not then, {before.gone} then and not now.")
    for title, nodes in (("Failed now and not then", before.newly_failed), ("Mended", before.mended)):
        if nodes:
            lines.append(f"{title}: {', '.join(name(node) for node in nodes[:MAX_LISTED])}{_more(nodes)}.")
    rows = [
        (
            name(change.node),
            seconds(change.before),
            seconds(change.node.result.execution_time),
            f"{'+' if change.difference > 0 else '-'}{seconds(abs(change.difference))}",
        )
        for change in before.changes
    ]
    changed = table(("Node", "#Before", "#Now", "#Difference"), rows) if rows else ""
    return "<h2>Compared with the run before</h2>" + "".join(f"<p>{line}</p>" for line in lines if line) + changed


def _whole(report: RunReport, before: Comparison) -> str:
    which = f"<span class=id>{text(before.invocation_id)}</span>, which ended at {text(before.ended_at[:19])} UTC"
    if before.elapsed is None:
        return f"The run before of this project, target and command was {which}. It had other nodes."
    now = seconds(report.facts.ended - report.facts.executing_since)
    return f"The run before of the same nodes was {which}. It took {seconds(before.elapsed)}, this one {now}."


def _problem(node: ReportNode, *, is_open: bool) -> str:
    result = node.result
    facts = [text(node.facts.kind), *([text(node.facts.path)] if node.facts.path else [])]
    if result.failures:
        facts.append(f"{result.failures} {'failure' if result.failures == 1 else 'failures'}")
    if node.started is not None:
        facts.append(f"{seconds(node.started)} to {seconds(node.ended or 0.0)}")
    if result.attempts > 1:
        facts.append(f"{result.attempts} attempts")
    message = f'<pre class="message {word(result)}">{text(cut(result.message or "", MAX_MESSAGE_CHARS))}</pre>'
    return (
        f"<details{' open' if is_open else ''}><summary>{status(result)} <h3>{name(node)}</h3> "
        f"<span class=soft>{' · '.join(facts)}</span></summary>"
        f"{message if result.message else ''}{_code(node)}</details>"
    )


def _code(node: ReportNode) -> str:
    if not node.code:
        return ""
    return f"<details><summary class=soft>SQL</summary><pre>{text(cut(node.code, MAX_CODE_CHARS))}</pre></details>"


def _thread_row(node: ReportNode) -> tuple[str, str, str, str]:
    return name(node), seconds(node.thread_wait), seconds(node.ready), seconds(node.span)


def _rows_of(node: ReportNode) -> str:
    rows = node.result.adapter_response.get("rows_affected")
    return f"{rows:,}" if isinstance(rows, int) and rows >= 0 else ""


def _if_noteworthy(value: float) -> str:
    return seconds(value) if value >= NOTEWORTHY_SECS else ""


def _more(nodes: object) -> str:
    count = len(nodes) if isinstance(nodes, list) else 0
    return f" and {count - MAX_LISTED} more" if count > MAX_LISTED else ""
