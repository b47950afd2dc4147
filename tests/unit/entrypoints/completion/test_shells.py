"""The scripts of the shells, and the words that bash breaks."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.reading.shells import COMPLETE_VARIABLE, PROGRAM, SHELLS, bash_words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_asks_our_program(shell: str) -> None:
    ended = CliRunner().invoke(cli, ["completion", shell])
    assert ended.exit_code == 0
    assert f"_DBT_TEMPORAL_COMPLETE={shell}_complete" in ended.output
    assert "complete" in ended.output


def test_another_shell_is_refused_with_those_that_there_are() -> None:
    ended = CliRunner().invoke(cli, ["completion", "csh"])
    assert ended.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in ended.output


@pytest.mark.parametrize(
    ("words", "before", "incomplete"),
    [
        (["p", "bui"], ["p"], "bui"),
        (["p", "build", ""], ["p", "build"], ""),
        (["p", "--select", "=", "ord"], ["p"], "--select=ord"),
        (["p", "--select", "="], ["p"], "--select="),
        (["p", "-s", "tag", ":", "ni"], ["p", "-s"], "tag:ni"),
        (["p", "-s", "tag", ":"], ["p", "-s"], "tag:"),
        (["p", "--select", "=", "tag", ":", "ni"], ["p"], "--select=tag:ni"),
        (["p", "-s", "tag", ":", ""], ["p", "-s", "tag:"], ""),
        (["p", "-s", "@", "ord"], ["p", "-s"], "@ord"),
        (["p", "-s", "+ord"], ["p", "-s"], "+ord"),
        (["p", "-s", '"a b'], ["p", "-s"], "a b"),
    ],
)
def test_what_bash_breaks_is_one_word_again(words: list[str], before: list[str], incomplete: str) -> None:
    assert bash_words(words) == (before, incomplete)


@pytest.mark.parametrize(
    ("words", "replaced", "answer"),
    [
        ("p build --log-format j", "j", "plain,json"),
        ("p build --log-format = j", "j", "plain,json"),
        ("p build --log-format =", "", "plain,text plain,debug plain,json plain,default"),
        ("p completion b", "b", "plain,bash"),
    ],
)
def test_bash_is_answered_with_what_it_replaces(
    words: str, replaced: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = words.split(" ")
    monkeypatch.setenv("COMP_WORDS", "\n".join(broken))
    monkeypatch.setenv("COMP_CWORD", str(len(broken) - 1))
    monkeypatch.setenv("REPLACED", replaced)
    assert SHELLS["bash"](cli, {}, PROGRAM, COMPLETE_VARIABLE).complete() == answer.replace(" ", "\n")
