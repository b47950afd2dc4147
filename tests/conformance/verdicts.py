"""A plugin of pytest: each test runs twice, and fails only where both verdicts differ without a known reason."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.differences import reason_of
from tests.conformance.routing import Router, Taken

CLI, OURS = "cli", "ours"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Verdict:
    """What came of one test in one mode.

    Attributes:
        verdict: `passed`, `failed`, or `skipped` by the package; a test whose fixtures failed has failed.
        problem: the last line of what went wrong.
        runs: how many runs went through us, in mode `ours`.
        left: command lines that only dbt's own command line could run.
    """

    database: str
    scenario: str
    test: str
    mode: str
    dbt: str
    verdict: str = PASSED
    problem: str = ""
    runs: int = 0
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """The test, whatever the mode."""
        return (self.database, self.scenario, self.test)


class Verdicts:
    """Collects the verdicts of a session. `path` takes them as lines of JSON; None where nobody reads them."""

    def __init__(self, router: Router, path: Path | None) -> None:
        self._router = router
        self._path = path
        self._here: Verdict | None = None
        self._by_cli: dict[tuple[str, str, str], str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judges each phase of a test; the report carries the verdict to the process that writes them all."""
        report = yield
        scenario: Any = getattr(item.getparent(pytest.Class), "obj", None)
        if not hasattr(scenario, "conformance_mode"):
            return report
        if call.when == "setup":
            self._here = Verdict(
                scenario.conformance_database,
                scenario.conformance_scenario,
                item.name,
                scenario.conformance_mode,
                version("dbt-core"),
            )
        verdict = self._here
        assert verdict is not None
        self._add(verdict, report, call)
        _show(report, self._judgement(verdict, report))
        vars(report)["conformance"] = asdict(verdict)
        return report

    def _add(self, verdict: Verdict, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        verdict.seconds += call.duration
        if report.failed and verdict.verdict == PASSED:
            verdict.verdict = FAILED
            lines = str(call.excinfo.value if call.excinfo else "").strip().splitlines() or [""]
            kind = call.excinfo.typename if call.excinfo else ""
            verdict.problem = f"{kind}: {lines[0][:300]}"
        if report.skipped:
            verdict.verdict = SKIPPED
        verdict.runs += self._router.taken.runs
        verdict.left += self._router.taken.left
        self._router.taken = Taken()
        if verdict.mode == CLI:
            self._by_cli[verdict.key] = verdict.verdict

    def _judgement(self, verdict: Verdict, report: pytest.TestReport) -> str | None:
        """What is to be said of a phase instead of pytest's own word; None where that stands."""
        reason = reason_of(*verdict.key)
        if verdict.mode == CLI:
            return "fails on the CLI" if report.failed else None
        cli_passes = self._by_cli.get(verdict.key) == PASSED
        if report.failed:
            return None if cli_passes and reason is None else ("known difference" if cli_passes else "fails in both")
        if report.when == "teardown" and verdict.verdict == PASSED and cli_passes and reason is not None:
            report.outcome = "failed"
            report.longrepr = f"is listed as a difference ({reason}), but passes: take it off the list"
        return None

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Shows what was judged."""
        shown = getattr(report, "conformance_shown", None)
        return (shown, shown[0], shown) if shown else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes a verdict, of this process or of another one, as soon as it is known: a session may be cut short."""
        if self._path is None or report.when != "teardown" or not hasattr(report, "conformance"):
            return
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(report.conformance) + "\n")


def _show(report: pytest.TestReport, judgement: str | None) -> None:
    if judgement is not None:
        # Not `passed`: after a setup that failed, pytest must not go on.
        report.outcome = "skipped"
        report.longrepr = ("", 0, judgement)
        vars(report)["conformance_shown"] = judgement
