"""Events as OpenLineage's client has them."""

from __future__ import annotations

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    data_quality_assertions_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
)

from dbt_temporal import __version__
from dbt_temporal.domain.lineage.model import LineageEvent

PRODUCER = f"urn:dbt-temporal:{__version__}"
"""By which consumers tell events of ours from those of OpenLineage's own integration."""


def document(event: LineageEvent, namespace: str) -> RunEvent:
    """The event, with its job in a namespace."""
    job_facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="DBT", jobType=event.job_type, producer=PRODUCER
        )
    }
    return RunEvent(
        eventType=RunState[event.type.value],
        eventTime=event.time,
        run=Run(runId=event.run_id, facets=_run_facets(event, namespace)),
        job=Job(namespace=namespace, name=event.job, facets=job_facets),
        inputs=_inputs(event),
        outputs=_outputs(event),
        producer=PRODUCER,
    )


def _run_facets(event: LineageEvent, namespace: str) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {}
    if event.parent is not None:
        facets["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(runId=event.parent.run_id),
            job=parent_run.Job(namespace=namespace, name=event.parent.job),
            root=parent_run.Root(
                run=parent_run.RootRun(runId=event.parent.run_id),
                job=parent_run.RootJob(namespace=namespace, name=event.parent.job),
            ),
            producer=PRODUCER,
        )
    if event.message is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=event.message, programmingLanguage="sql", producer=PRODUCER
        )
    return facets


def _inputs(event: LineageEvent) -> list[InputDataset]:
    found = event.assertion
    datasets = [InputDataset(namespace=each.namespace, name=each.name) for each in event.inputs]
    for each, dataset in zip(event.inputs, datasets, strict=True):
        if found is not None and each == found.dataset:
            assertion = data_quality_assertions_dataset.Assertion(
                assertion=found.name, success=found.success, column=found.column
            )
            dataset.inputFacets = {
                "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                    assertions=[assertion], producer=PRODUCER
                )
            }
    return datasets


def _outputs(event: LineageEvent) -> list[OutputDataset]:
    if event.output is None:
        return []
    dataset = OutputDataset(namespace=event.output.namespace, name=event.output.name)
    if event.rows is not None:
        dataset.outputFacets = {
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=event.rows, producer=PRODUCER
            )
        }
    return [dataset]
