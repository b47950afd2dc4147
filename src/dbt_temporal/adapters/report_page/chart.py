"""How many nodes had threads, and how many were ready and had none, over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dbt_temporal.domain.report.model import RunReport

BUCKETS = 240
_HEIGHT = 100


def threads_chart(report: RunReport) -> str:
    """It as SVG, with what it shows in words."""
    begin, end = report.facts.executing_since, report.facts.ended
    ran = [node for node in report.nodes if node.started is not None and node.ended is not None]
    if end <= begin or not ran:
        return ""
    running = _average(((node.started or 0.0, node.ended or 0.0) for node in ran), begin, end)
    waiting = _average(((node.ready, node.started or 0.0) for node in ran), begin, end)
    threads = report.facts.threads
    highest = max(runs + waits for runs, waits in zip(running, waiting, strict=True))
    top = max(threads, *running, min(highest, threads * 2)) * 1.1  # hundreds may wait
    heights = [min(count / top, 1.0) for count in running]
    above = [min((runs + waits) / top, 1.0) for runs, waits in zip(running, waiting, strict=True)]
    limit = _HEIGHT * (1 - threads / top)
    return (
        f'<figure><svg viewBox="0 0 {BUCKETS} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        'aria-label="Nodes that run, over time">'
        f'<path class="waits" d="{_area(above)}"/><path class="ran" d="{_area(heights)}"/>'
        f'<line class="limit" x1="0" x2="{BUCKETS}" y1="{limit:.1f}" y2="{limit:.1f}" '
        'vector-effect="non-scaling-stroke"/>'
        f"</svg><figcaption>Nodes that ran, and above them those that were ready and waited for a thread; the line is "
        f"at {threads} {'thread' if threads == 1 else 'threads'}.</figcaption></figure>"
    )


def _area(heights: Sequence[float]) -> str:
    points = "".join(f"V{_HEIGHT * (1 - height):.1f}H{index + 1}" for index, height in enumerate(heights))
    return f"M0 {_HEIGHT}{points}V{_HEIGHT}Z"


def _average(spans: Iterable[tuple[float, float]], begin: float, end: float) -> list[float]:
    """How many spans there were, on average, in each bucket. Linear: each span touches its two ends alone."""
    width = (end - begin) / BUCKETS
    whole = [0.0] * (BUCKETS + 1)
    parts = [0.0] * (BUCKETS + 1)
    for start, stop in spans:
        first, last = (min(max((each - begin) / width, 0.0), float(BUCKETS)) for each in (start, stop))
        for place, sign in ((first, 1.0), (last, -1.0)):
            index = min(int(place), BUCKETS - 1)
            parts[index] += sign * (index + 1 - place)
            whole[index + 1] += sign
    averages, open_spans = [], 0.0
    for index in range(BUCKETS):
        open_spans += whole[index]
        averages.append(max(open_spans + parts[index], 0.0))
    return averages
