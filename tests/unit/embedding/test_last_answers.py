"""A program waits at its end for threads that Python has not started, as those of Temporal's SDK."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import _thread, os, threading, time
from dbt_temporal.adapters.temporal.connection import last_answers

inside = threading.Event()


def answer():
    inside.set()
    {thread}
    os.write(1, b"left")


last_answers.PATIENCE_SECS = {patience}
last_answers.awaited_at_exit()
last_answers.awaited_at_exit()
_thread.start_new_thread(answer, ())
inside.wait()
"""


def said(thread: str, patience: float) -> str:
    program = PROGRAM.format(thread=thread, patience=patience)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_a_program_ends_when_the_last_thread_has_left_the_interpreter() -> None:
    assert said("time.sleep(0.3)", patience=60) == "left"


def test_a_thread_that_stays_does_not_keep_the_program() -> None:
    assert said("time.sleep(60)", patience=0.05) == ""
