"""Makes the pictures of the docs: `make pictures`.

A `dbt-temporal dev` builds the example once, in a terminal of a fixed size. The terminal is photographed while the run
is under way, and after it the run's timeline in Temporal's UI and the top of its report. It takes Playwright with a
Chromium, which BROWSER may name, and pyte, which knows what a terminal shows.
"""

from __future__ import annotations

import html
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pyte
from playwright.sync_api import Browser, FloatRect, sync_playwright

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 1280, 900
HEADING_HEIGHT, MARGIN = 64, 24
"""Of what is shown around the timeline."""
COLUMNS, ROWS = 120, 40
SHOWN_FROM = 0.4
"""The terminal is photographed when this share of the nodes is done."""
WHOLE_SECS = 0.03
"""The view is redrawn eight times a second: after so much silence what was drawn is whole."""
START_SECS = 120.0
END_SECS = 60.0
PAGE_MS = 60_000

_DONE = re.compile(r"\b(\d+) of (\d+) done\b")
_FAINT, _GREY = b"\x1b[2m", b"\x1b[90m"
"""pyte has no faint text."""
_COLOURS = {
    "default": "#d6d6d6",
    "brightblack": "#7f8790",
    "red": "#f2777a",
    "green": "#8fc77f",
    "brown": "#e5c07b",  # that is yellow
    "blue": "#6ca7e8",
    "magenta": "#c792ea",
    "cyan": "#65bfc9",
    "white": "#ffffff",
}
_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0 }}
pre {{ display: inline-block; margin: 0; padding: 18px 22px; background: #1d2126; color: #d6d6d6;
       font: 15px/1.35 "DejaVu Sans Mono", "Liberation Mono", monospace }}
</style><pre>{text}</pre>"""


def main(program: Path, project: Path) -> None:
    """Makes all pictures.

    Args:
        program: our command.
        project: the example.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = _environment(folder)
        with _dev(program, project, env, folder / "dev.log") as ui_url, sync_playwright() as playwright:
            workflow_id, terminal = _build(program, env)
            (report,) = (folder / "cache" / "dev" / "artifacts").glob("*/report.html")
            browser = playwright.chromium.launch(executable_path=os.environ.get("BROWSER") or None)
            _photograph_terminal(browser, terminal)
            # The folder of a run has the name of its first execution.
            run_url = f"{ui_url}/namespaces/default/workflows/{workflow_id}/{report.parent.name}"
            _photograph_timeline(browser, run_url)
            _photograph_report(browser, report)
            browser.close()


def _environment(folder: Path) -> dict[str, str]:
    """Ours without what would have the run go elsewhere, or look otherwise; all that is written is in the folder."""
    others = ("DBT_", "TEMPORAL_", "ARTIFACT_", "WRITE_")
    looks = {"COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR"}
    env = {name: value for name, value in os.environ.items() if not name.startswith(others) and name not in looks}
    return {
        **env,
        "TERM": "xterm-256color",
        "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
        "JAFFLE_SHOP_DB": str(folder / "jaffle_shop.duckdb"),
    }


@contextmanager
def _dev(program: Path, project: Path, env: Mapping[str, str], log: Path) -> Iterator[str]:
    """A server with a worker while the block runs; yields the address of its UI."""
    with log.open("wb") as output:
        command = [str(program), "dev", "--project-dir", str(project)]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        given_up = time.monotonic() + START_SECS
        while "Ctrl-C ends all of it." not in (said := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > given_up:
                sys.exit(f"`{' '.join(command)}` is not ready:\n{said}")
            time.sleep(0.1)
        found = re.search(r"^Temporal UI\s+(\S+)$", said, re.MULTILINE)
        assert found is not None, said
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(END_SECS)


def _build(program: Path, env: Mapping[str, str]) -> tuple[str, str]:
    """Builds the example in a terminal. Returns the workflow id, and as HTML what the terminal showed amid the run."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(b"$ dbt-temporal build\r\n")
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (ROWS, COLUMNS))
    child = subprocess.Popen(
        [str(program), "build"], env=env, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    said, shown = b"", None
    while True:
        if not select.select([ours], [], [], WHOLE_SECS)[0]:
            if shown is None and _is_amid(screen):
                shown = _as_html(screen)
            continue
        try:
            chunk = os.read(ours, 1 << 16)
        except OSError:  # nobody has the terminal any more
            chunk = b""
        if not chunk:
            break
        said += chunk
        stream.feed(chunk.replace(_FAINT, _GREY))
    os.close(ours)
    text = said.decode(errors="replace")
    submitted = re.search(r"Submitted ([\w.-]+)", text)
    if child.wait(END_SECS) != 0 or shown is None or submitted is None:
        sys.exit(f"The build did not go as it should (exit code {child.returncode}):\n{text}")
    return submitted[1], shown


def _is_amid(screen: pyte.Screen) -> bool:
    found = _DONE.search("\n".join(screen.display))
    return found is not None and SHOWN_FROM <= int(found[1]) / int(found[2]) < 1


def _as_html(screen: pyte.Screen) -> str:
    """What the terminal shows, without the empty rows below it."""
    rows = ["".join(_spans([screen.buffer[row][column] for column in range(COLUMNS)])) for row in range(ROWS)]
    last = max(row for row in range(ROWS) if screen.display[row].strip())
    return _PAGE.format(text="\n".join(rows[: last + 1]))


def _spans(cells: list[pyte.screens.Char]) -> Iterator[str]:
    for (name, is_bold), group in groupby(cells, lambda cell: (cell.fg, cell.bold)):
        colour = _COLOURS.get(name, f"#{name}")  # of 256 colours it is six hexadecimal digits
        weight = ";font-weight:bold" if is_bold else ""
        text = html.escape("".join(cell.data for cell in group))
        yield f'<span style="color:{colour}{weight}">{text}</span>'


def _photograph_terminal(browser: Browser, terminal: str) -> None:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_content(terminal)
    page.locator("pre").screenshot(path=FOLDER / "terminal.png")


def _photograph_timeline(browser: Browser, run_url: str) -> None:
    """The begin of the timeline with its heading, in a window so high that nothing has to be scrolled."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 3 * HEIGHT}, color_scheme="light")
    page.goto(f"{run_url}/timeline?sort=ascending")
    # The graph has no name of its own in the UI: it is what has the rows of nodes.
    row = page.locator("li button", has_text="model:").first
    row.wait_for(timeout=PAGE_MS)
    box = row.locator("xpath=ancestor::ul[1]").bounding_box()
    assert box is not None
    top, left = max(box["y"] - HEADING_HEIGHT, 0), max(box["x"] - MARGIN, 0)
    width = min(box["width"] + 2 * MARGIN, WIDTH - left)
    clip: FloatRect = {"x": left, "y": top, "width": width, "height": HEIGHT}
    page.screenshot(path=FOLDER / "timeline.png", clip=clip, animations="disabled")


def _photograph_report(browser: Browser, report: Path) -> None:
    """Its top, light and dark."""
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
        page.goto(report.as_uri())
        page.screenshot(path=FOLDER / f"report-{scheme}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
