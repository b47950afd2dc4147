"""Names in a selection that nothing in the project has: dbt v2 says nothing of them."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_temporal.adapters.dbt_v2.runs.near_names import unknown_names
from dbt_temporal.domain.log.said import Kind, read_line


def node(name: str, *folders: str, tags: tuple[str, ...] = (), kind: str = "model") -> dict[str, Any]:
    path = "/".join(("models", *folders, f"{name}.sql"))
    fqn = ["shop", *folders, name]
    return {"name": name, "fqn": fqn, "original_file_path": path, "tags": list(tags), "resource_type": kind}


DOCUMENT: Any = {
    "nodes": {
        "model.shop.stg_orders": node("stg_orders", "staging", tags=("nightly",)),
        "model.shop.customers": node("customers", "marts", "core"),
        "model.shop.prices.v1": node("prices", "marts") | {"fqn": ["shop", "marts", "prices", "v1"]},
        "operation.shop.shop-on-run-start-0": node("shop-on-run-start-0", kind="operation"),
    },
    "unit_tests": {"unit_test.shop.customers.adds_up": node("adds_up", "marts", "core")},
    "sources": {
        "source.shop.raw.orders": {"source_name": "raw", "name": "orders", "package_name": "shop", "tags": ["hourly"]}
    },
}


@pytest.mark.parametrize(
    ("criterion", "near"),
    [
        ("stg_order", "stg_orders"),
        ("2+customer+", "customers"),
        ("stagng", "staging"),
        ("marts.cor", "marts.core"),
        ("tag:nightl", "nightly"),
        ("tag:hurly", "hourly"),
        ("source:raw.order", "raw.orders"),
        ("path:models/marts/core/customer.sql", "models/marts/core/customers.sql"),
        ("models/marts/core/customer.sql", "models/marts/core/customers.sql"),
        ("custmers.sql", "customers.sql"),
    ],
)
def test_a_name_that_nothing_has_is_told_with_those_that_are_near(criterion: str, near: str) -> None:
    first, second = unknown_names(f"customers {criterion},tag:nightly", DOCUMENT)
    kind, words = read_line(first)
    assert kind == Kind("Note", "Z050", "warn")
    assert words == f"Nothing in the project has the name of the selection criterion '{criterion}'"
    assert second.removesuffix("?").startswith(f"  Did you mean {near}")


@pytest.mark.parametrize(
    "criterion",
    [
        *("stg_orders", "@customers", "staging", "marts.core", "core.customers", "shop", "shop.marts.core", "adds_up"),
        *(
            "prices.v1",
            "marts.prices",
            "stg_*",
            "tag:nightly",
            "source:raw",
            "source:shop.raw",
            "source:shop.raw.orders",
        ),
        *("models/marts", "models/marts/", "path:models", "customers.sql", "file:customers"),
        *("nothing_like_it", "config.materialized:tabel", "no_method:orders", "state:modified+", ""),
    ],
)
def test_of_names_that_something_has_or_nothing_is_near_nothing_is_told(criterion: str) -> None:
    assert unknown_names(criterion, DOCUMENT) == []
    assert unknown_names(None, DOCUMENT) == []
