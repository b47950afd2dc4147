"""Worker versioning: which version of which deployment a worker is. Runs stay on the version that they began on."""

from __future__ import annotations

from pydantic import field_validator, model_validator
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from dbt_temporal.adapters.environment import EnvironmentModel, require_both, variable


class VersioningSettings(EnvironmentModel):
    """Both variables, or none: then the worker takes runs of any version."""

    deployment_name: str | None = variable(
        "TEMPORAL_DEPLOYMENT_NAME", None, allowed="the name of a worker deployment, without a dot"
    )
    build_id: str | None = variable("TEMPORAL_WORKER_BUILD_ID", None, allowed="the id of this build of the worker")

    @field_validator("deployment_name")
    @classmethod
    def _has_no_dot(cls, name: str) -> str:
        # Temporal writes a version as `<deployment>.<build>`.
        if "." in name:
            raise ValueError("must have no dot")
        return name

    @model_validator(mode="after")
    def _both_or_neither(self) -> VersioningSettings:
        require_both(TEMPORAL_DEPLOYMENT_NAME=self.deployment_name, TEMPORAL_WORKER_BUILD_ID=self.build_id)
        return self

    def deployment_config(self) -> WorkerDeploymentConfig | None:
        if self.deployment_name is None or self.build_id is None:
            return None
        return WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(self.deployment_name, self.build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.PINNED,
        )

    def describe(self) -> str | None:
        if self.deployment_name is None:
            return None
        return (
            f"Version {self.build_id!r} of deployment {self.deployment_name!r}: runs stay on the version that they "
            "began on. New runs come here once the version is current: `temporal worker deployment set-current-version "
            f"--deployment-name {self.deployment_name} --build-id {self.build_id}`"
        )
