"""The Nexus service: what callers are told of, and what a worker serves."""

from __future__ import annotations

import nexusrpc

from dbt_temporal import DbtNexusService, DbtRunInput, DbtRunOutput
from dbt_temporal.adapters.temporal.nexus.handler import DbtNexusHandler
from dbt_temporal.adapters.temporal.workflow_ids import workflow_id_of


def definition(of: type) -> nexusrpc.ServiceDefinition:
    found = nexusrpc.get_service_definition(of)
    assert found is not None
    return found


def test_the_service_has_the_documented_names_and_the_models_of_the_workflow() -> None:
    service = definition(DbtNexusService)
    (operation,) = service.operation_definitions.values()
    assert (service.name, operation.name) == ("dbt-temporal", "dbt-run")
    assert (operation.input_type, operation.output_type) == (DbtRunInput, DbtRunOutput)


def test_a_worker_serves_what_callers_are_told_of() -> None:
    served, told = definition(DbtNexusHandler), definition(DbtNexusService)
    assert served.name == told.name
    assert served.operation_definitions.keys() == told.operation_definitions.keys()


def test_a_request_that_is_sent_again_names_the_same_run_and_another_one_does_not() -> None:
    asked = DbtRunInput(command="test", project="our shop")
    first = workflow_id_of(asked, "request-1")
    assert first.startswith("dbt-test-our-shop-")
    assert workflow_id_of(asked, "request-1") == first
    assert workflow_id_of(asked, "request-2") != first


def test_a_run_that_names_no_project_is_called_after_the_only_one_that_the_worker_has() -> None:
    asked = DbtRunInput(command="test")
    assert workflow_id_of(asked, "request-1", "shop").startswith("dbt-test-shop-")
    assert workflow_id_of(asked, "request-1", None).startswith("dbt-test-default-")
