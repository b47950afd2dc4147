"""Where to look for a failed node: the line that the database names, and short queries."""

import pytest

from dbt_temporal.domain.failed_nodes import MAX_LINE_CHARS, lines_around, name_to_find, short_query

CODE = "select\n    order_id,\n    order_totl * 2 as doubled\n\nfrom stg_orders\nwhere order_id > 0"


def told(code: str, message: str | None) -> list[tuple[int, str, bool]]:
    return [(line.number, line.text, line.is_named) for line in lines_around(code, message)]


def test_the_line_that_the_database_repeats_is_found_in_the_compiled_code_with_its_neighbours() -> None:
    message = (
        'Database Error in model a\n  column "order_totl" does not exist\n  LINE 14:     order_totl * 2 as doubled\n'
    )
    assert told(CODE, message + "               ^") == [
        (1, "select", False),
        (2, "    order_id,", False),
        (3, "    order_totl * 2 as doubled", True),
        (5, "from stg_orders", False),
    ]


def test_a_long_line_that_the_database_has_cut_is_found() -> None:
    assert [line[0] for line in told(CODE, "LINE 3: ...r_totl * 2 as dou...") if line[2]] == [3]


def test_a_whole_line_goes_before_lines_that_hold_its_text() -> None:
    assert [line[0] for line in told("select a, b\nfrom t\nselect a", "LINE 9: select a") if line[2]] == [3]


@pytest.mark.parametrize(
    "message",
    [None, "", "no such column", "LINE 3:", "LINE 3: not in the code", "LINE 1: order_id", "at line 3, position 4"],
)
def test_without_a_line_of_that_text_alone_none_is_shown(message: str | None) -> None:
    assert told(CODE, message) == []


def test_long_lines_are_cut() -> None:
    (line,) = lines_around("x" * 500, "LINE 1: xxx")
    assert len(line.text) == MAX_LINE_CHARS


def test_a_short_query_is_shown_without_its_margin_and_empty_lines() -> None:
    assert short_query("\n    select *\n\n      from t  \n") == "select *\n  from t"
    assert short_query("\n".join(["select 1"] * 6)) is None
    assert short_query("select " + "x" * MAX_LINE_CHARS) is None


def test_a_node_is_found_by_its_name_where_no_other_has_it() -> None:
    assert name_to_find("model.shop.a", "a", ["a", "b"]) == "a"
    assert name_to_find("model.shop.a", "a", ["a", "a"]) == "model.shop.a"
