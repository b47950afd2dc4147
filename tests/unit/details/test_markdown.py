"""Texts of others keep what they say, whatever they mean as Markdown."""

from __future__ import annotations

import pytest

from dbt_temporal.domain.details.markdown import code, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stg_orders lost 3 of 4", "stg_orders lost 3 of 4"),
        ("stg_* and _x_", r"stg\_\* and \_x\_"),
        ("__dbt_tmp", r"\_\_dbt_tmp"),
        ("<b>[a](http://x)</b> | `y`", r"\<b\>\[a\](http://x)\</b\> | \`y\`"),
        ("R&D &amp; more!", r"R&D \&amp; more!"),
        ("# no title", r"\# no title"),
        ("- no item", r"\- no item"),
        ("1. no item", r"1\. no item"),
        ("one\n\n  two", "one two"),
    ],
)
def test_a_text_means_nothing_as_markdown(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stg_*", "`stg_*`"),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        ("a\nb", "`a b`"),
    ],
)
def test_code_keeps_its_backticks(text: str, shown: str) -> None:
    assert code(text) == shown
