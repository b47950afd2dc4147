"""Where nothing matches a criterion, the run's log names what it may have meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.process.run.near_names import with_near_names


def node(name: str, *folders: str, tags: tuple[str, ...] = ()) -> Any:
    path = "/".join(("models", *folders, f"{name}.sql"))
    return SimpleNamespace(name=name, fqn=["shop", *folders, name], original_file_path=path, tags=list(tags))


MANIFEST: Any = SimpleNamespace(
    nodes={
        "model.shop.stg_orders": node("stg_orders", "staging", tags=("nightly",)),
        "model.shop.stg_order_items": node("stg_order_items", "staging"),
        "model.shop.customers": node("customers", "marts", "core"),
    },
    unit_tests={},
    sources={"source.shop.raw.orders": SimpleNamespace(source_name="raw", name="orders", tags=["hourly"])},
)


def said_of(criterion: str) -> list[str]:
    line = f"The selection criterion '{criterion}' does not match any enabled nodes"
    first, *rest = with_near_names([line], MANIFEST)
    assert first == line
    return rest


@pytest.mark.parametrize(
    ("criterion", "near"),
    [
        ("stg_order", "stg_orders or stg_order_items"),
        ("2+customer+", "customers"),
        ("stagng", "staging"),
        ("marts.cor", "marts.core"),
        ("tag:nightl", "nightly"),
        ("tag:hurly", "hourly"),
        ("source:raw.order", "raw.orders"),
        ("path:models/marts/core/customer.sql", "models/marts/core/customers.sql"),
        ("file:custmers.sql", "customers.sql"),
    ],
)
def test_a_criterion_has_names_that_are_near_it_by_its_own_method(criterion: str, near: str) -> None:
    assert said_of(criterion) == [f"  Did you mean {near}?"]


@pytest.mark.parametrize("criterion", ["nothing_like_it", "config.materialized:tabel", "no_method:orders"])
def test_a_criterion_that_nothing_is_near_stands_alone(criterion: str) -> None:
    assert said_of(criterion) == []


def test_other_lines_stay_as_they_are() -> None:
    assert list(with_near_names(["beware of stg_order"], MANIFEST)) == ["beware of stg_order"]
