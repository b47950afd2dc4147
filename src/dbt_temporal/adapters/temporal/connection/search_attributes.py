"""Search attributes of the namespace: which ones there are, and how to register ours."""

from __future__ import annotations

import logging

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.application.steps.plan_project import DYNAMIC_ATTRIBUTES

logger = logging.getLogger(__name__)

DBT_SEARCH_ATTRIBUTES = DYNAMIC_ATTRIBUTES
"""The attributes that runs set by themselves, of the type Keyword."""


async def registered_search_attributes(client: Client) -> frozenset[str]:
    """The custom Keyword attributes of the client's namespace; none, with one warning, where nobody says."""
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        logger.warning(
            "search attributes are left out: the namespace %r does not say which it has (%s)", client.namespace, error
        )
        return frozenset()
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    return frozenset(name for name, kind in answer.custom_attributes.items() if kind == keyword)


def warn_of_missing(names: frozenset[str], registered: frozenset[str]) -> None:
    """Tells once, at the start, which attributes runs will not have."""
    missing = sorted(names - registered)
    if missing and registered:
        logger.warning(
            "search attributes that the namespace does not have are left out: %s (register them with "
            "`temporal operator search-attribute create --name NAME --type Keyword`)",
            ", ".join(missing),
        )


async def register_search_attributes(client: Client, names: tuple[str, ...] = DBT_SEARCH_ATTRIBUTES) -> None:
    """Registers the missing ones as Keyword. For a server of one's own, such as the development server.

    Raises:
        RPCError: where the server does not take them.
    """
    missing = sorted(set(names) - await registered_search_attributes(client))
    if not missing:
        return
    request = AddSearchAttributesRequest(
        namespace=client.namespace,
        search_attributes=dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
    )
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise
