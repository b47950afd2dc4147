"""The page of a run: one file that opens without a network, and in which nothing of a run is code."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from functools import cache
from importlib.resources import files

from dbt_temporal.adapters.report_page import sections
from dbt_temporal.adapters.report_page.chart import threads_chart
from dbt_temporal.adapters.report_page.rows import script_data
from dbt_temporal.adapters.report_page.texts import seconds, text, word
from dbt_temporal.domain.report.model import RunReport
from dbt_temporal.domain.results import is_project_hook

_ORDER = ("success", "warn", "error", "skipped", "cancelled")
_LEGEND = (
    ("b-thread", "ready, waits for a thread"),
    ("b-worker", "waits for a worker"),
    ("b-failed", "failed attempt"),
    ("b-pause", "pause before the next"),
    ("b-success", "did well"),
    ("b-warn", "warned"),
    ("b-error", "failed"),
)
_CONTROLS = """
<div class=controls>
<input type=search id=find placeholder="Find a node" aria-label="Find a node">
<label>Order <select id=order><option value=start>as they started<option value=long>longest first<option value=thread>\
longest wait for a thread<option value=name>by name</select></label>
<label>Show <select id=keep><option value=all>all<option value=bad>failed<option value=notes>warned\
<option value=retried>tried again<option value=skipped>skipped<option value=critical>the critical path</select></label>
<label><input type=checkbox id=zoom> zoom to the rows in sight</label>
<span class=soft id=count></span>
</div>"""


def html_page(report: RunReport) -> bytes:
    """Implements `ReportPage`."""
    style, script = _own("page.css"), _own("page.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    title = f"{report.project}: {report.command}"
    body = "".join(
        (
            _head(report),
            _tiles(report),
            sections.failures(report),
            _timeline(report),
            sections.critical_path(report),
            sections.slowest(report),
            sections.attempts(report),
            sections.waits(report),
            sections.skipped(report),
            sections.comparison(report),
        )
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy)}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{text(title)}</title>'
        f"<style>{style}</style></head><body>{body}<footer>Made by dbt-temporal. Times of nodes are those of the run; "
        "phases are as dbt measured them on the worker.</footer>"
        f'<script type="application/json" id="data">{script_data(report)}</script>'
        f"<script>{script}</script></body></html>"
    ).encode()


def _head(report: RunReport) -> str:
    facts = report.facts
    outcome = "cancelled" if facts.cancelled else "success" if facts.success else "error"
    said = {"success": "passed", "error": "failed"}.get(outcome, outcome)
    shown = [
        ("Began", f"{report.started_at[:19].replace('T', ' ')} UTC"),
        ("Target", facts.target),
        ("Threads", facts.threads),
        ("Engine", facts.engine),
        ("Revision", report.revision),
        ("Invocation", report.invocation_id),
    ]
    items = "".join(f"<span>{name} <b>{text(value)}</b></span>" for name, value in shown if value)
    return (
        f'<header><h1>{text(report.project)} <span class="word {outcome}">{said}</span></h1>'
        f"<p><code>{text(report.command)}</code></p><div class=facts>{items}</div></header>"
    )


def _tiles(report: RunReport) -> str:
    facts = report.facts
    counts = Counter(word(node.result) for node in report.nodes)
    elapsed = facts.ended - facts.executing_since
    tiles = [(seconds(elapsed), f"all nodes; {seconds(facts.ended)} with planning", "")]
    tiles += [(str(counts[each]), each, each) for each in _ORDER if counts[each] or each == "success"]
    busy = sum(node.span for node in report.nodes if not is_project_hook(node.unique_id))
    if elapsed > 0 and facts.threads:
        tiles.append((f"{min(busy / (elapsed * facts.threads), 1):.0%}", "of the threads' time was used", ""))
    if elapsed > 0 and report.critical.nodes:
        tiles.append((f"{min(report.critical.seconds / elapsed, 1):.0%}", "of the time is the critical path", ""))
    shown = "".join(
        f'<div class=tile><b class="{style}">{text(n)}</b><span>{text(what)}</span></div>' for n, what, style in tiles
    )
    return f"<div class=tiles>{shown}</div>"


def _timeline(report: RunReport) -> str:
    legend = "".join(f'<span><i class="{style}"></i>{what}</span>' for style, what in _LEGEND)
    return (
        f"<h2>Timeline</h2>{threads_chart(report)}"
        "<noscript><p>The rows of the timeline are drawn by the page's own script, which is switched off here; "
        "all else is there.</p></noscript>"
        f"<div id=gantt hidden>{_CONTROLS}<div class=legend>{legend}<span><b>bold</b>: critical path</span></div>"
        "<div id=axis class=axis></div><div id=rows class=rows></div><div id=node hidden></div></div>"
    )


@cache
def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    """What the page may have as style and script: these, and nothing that a run has said."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
