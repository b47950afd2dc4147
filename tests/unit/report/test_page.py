"""The page: one file, in which nothing of a run is code, and which large runs do not blow up."""

import json
import re
from html.parser import HTMLParser

from dbt_temporal.adapters.report_page.page import html_page
from dbt_temporal.domain.report.comparison import RunSummary, compared
from dbt_temporal.domain.report.model import NodeFacts, RunGraph
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.times import NodeTimes
from dbt_temporal.testing import model_id, result
from tests.unit.report.runs import facts_of, nodes_of, ran, report_of

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"' & <!--"


class Reader(HTMLParser):
    """What a browser would make of it, roughly: the elements with their attributes, and the texts of scripts."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def shown(self) -> str:
        """All text outside of scripts and styles."""
        return " ".join(self.texts)

    @property
    def data(self) -> dict[str, object]:
        """What the page's script reads."""
        document: dict[str, object] = json.loads(self.scripts[0])
        return document


def run_that_says(text: str) -> bytes:
    graph = RunGraph({model_id("a"): NodeFacts(text, "model", text, text, text), model_id("b"): NodeFacts(text, text)})
    times = NodeTimes(started=1, ended=2)
    times.attempt_failed(1, 2, text)
    results = [
        ran("a", 1, 2, "error", message=text, times=times, attempts=2),
        ran("b", 2, 3, "warn", message=text),
        result("c", "skipped", message=text),
    ]
    return html_page(
        report_of(*results, graph=graph, project=text, command=text, revision=text, facts=facts_of(target=text))
    )


def test_what_a_run_says_is_text_and_never_code() -> None:
    page = Reader(run_that_says(EVIL))
    assert [name for name, _ in page.tags].count("script") == 2
    assert "img" not in [name for name, _ in page.tags]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.shown.count("alert(1)") >= 6, "all of it is shown"
    assert EVIL in json.dumps(page.data, ensure_ascii=False).replace('\\"', '"')
    assert page.scripts[1] == Reader(run_that_says("harmless")).scripts[1]


def test_the_page_takes_no_script_or_style_but_its_own() -> None:
    page = Reader(run_that_says("hello"))
    policies = [a["content"] for name, a in page.tags if name == "meta" and a.get("http-equiv")]
    assert policies
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'", policies[0] or "")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = run_that_says("hello").decode()
    reader = Reader(page.encode())
    assert not [a for _, a in reader.tags if a.keys() & {"src", "href", "srcset", "action"}]
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_it_can_be_read_without_its_script() -> None:
    report = report_of(
        ran("a", 1, 3, adapter_response={"rows_affected": 12345}),
        ran("b", 3, 6, "error", message="Database Error: no such column"),
        ran("c", 5, 6),
        result("d", "skipped", attempts=0),
        facts=facts_of(success=False),
    )
    shown = Reader(html_page(report)).shown
    for text in ("failed", "no such column", "models/b.sql", "12,345", "Critical path: 5.00 s", "Waited for a parent"):
        assert text in shown
    assert f"{model_id('b')} did not succeed" in shown
    assert f"select '{model_id('b')}' as <code>" in shown


def test_how_the_run_ended_stands_at_the_top() -> None:
    for facts, said in (
        (facts_of(), "passed"),
        (facts_of(success=False), "failed"),
        (facts_of(success=False, cancelled=True), "cancelled"),
    ):
        assert f"shop {said}" in " ".join(Reader(html_page(report_of(ran("a", 1, 2), facts=facts))).shown.split())


def test_the_engine_stands_at_the_top() -> None:
    page = html_page(report_of(ran("a", 1, 2), facts=facts_of(engine="v2 2.0.0")))
    assert "Engine v2 2.0.0" in " ".join(Reader(page).shown.split())


def test_the_comparison_names_the_run_before() -> None:
    nodes = list(nodes_of(ran("a", 1, 4)).values())
    before = RunSummary(
        invocation_id="id-before",
        ended_at="2025-12-31T06:00:00+00:00",
        elapsed=9,
        nodes={model_id("a"): ("success", 1.0)},
    )
    shown = Reader(html_page(report_of(ran("a", 1, 4), comparison=compared(nodes, before)))).shown
    assert "id-before" in shown
    assert "+2.00 s" in shown
    assert "Compared with" not in Reader(html_page(report_of(ran("a", 1, 4)))).shown


def test_a_run_of_nothing_has_a_page_too() -> None:
    assert Reader(html_page(report_of())).data["rows"] == []


def large(count: int) -> list[NodeExecutionResult]:
    long = "Database Error in model\n" + "x" * 50_000
    return [
        ran(f"m{i}", i / 8, i / 8 + 1, "error" if i % 10 == 0 else "success", message=long if i % 10 == 0 else "OK")
        for i in range(count)
    ]


def test_a_large_run_has_a_bounded_page() -> None:
    sizes = {}
    for count in (500, 5000):
        chain = {f"m{i}": (f"m{i - 8}",) if i >= 8 else () for i in range(count)}
        graph = RunGraph(
            {
                model_id(name): NodeFacts(name, "model", "table", None, f"models/{name}.sql", tuple(map(model_id, up)))
                for name, up in chain.items()
            }
        )
        sizes[count] = len(html_page(report_of(*large(count), graph=graph)))
    assert sizes[5000] - sizes[500] < 4500 * 400, "rows are short, whatever messages are"
    assert sizes[5000] < 5_000_000
