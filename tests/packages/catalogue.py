"""The packages that are tested, and by which commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.differential.scenario import Scenario, Step
from tests.packages.checkouts import Checkouts

THREADS = 4
_TIMES = (r".*\.(thread_id|execution_time|compile_time|\w*runtime)",)
_OF_ELEMENTARY = (
    # Hashes and texts of ids, instants and names: of temporary tables, and of the side's own database.
    r".*\.(metadata_hash|result_row)",
    r".*\.(id|data_issue_id|\w*execution_id|column_state_id|metric_id|row_index|elementary_test_results_id)",
    r".*\.(test_results_query|compiled_code|anomaly_score_query|run_execution_time)",
    r"(manifest|run_results)\.json\..*\.test\.watched\.elementary_.*\.compiled_code",
)
_JOB = dict.fromkeys(("ORCHESTRATOR", "JOB_ID", "JOB_RUN_ID", "JOB_RUN_URL"), "nightly")
"""What our runs would say of themselves, and the command line does not."""
_DBT_UTILS = {"dbt_utils": "dbt-labs/dbt-utils"}
_BY_HAND = "a small project"


@dataclass(frozen=True)
class Package:
    """A package, and the project by which it is tested.

    Attributes:
        name: as projects install it.
        repository: where it is, `owner/name`.
        project: the folder of the package's own test project in its repository; without one, `files` are the project.
        files: of the project, in place of those of that folder or beside them.
        packages: that the project installs too: repositories by name, with the folder behind a colon.
        steps: the commands.
        databases: on which its project runs.
        own: columns that no two runs fill alike, as regular expressions for `schema.relation.column`, and places in
            artifacts with what is in no two runs the same.
    """

    name: str
    repository: str
    steps: tuple[Step, ...]
    project: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    databases: tuple[str, ...] = ("duckdb", "postgres")
    own: tuple[str, ...] = ()

    @property
    def tested_by(self) -> str:
        """The project in words."""
        return f"its `{self.project}`" if self.project else _BY_HAND

    def scenario(self, checkouts: Checkouts) -> Scenario:
        """The project with its packages in place."""
        files = dict(checkouts.project(self.repository, self.project)) if self.project else {}
        for name, place in {self.name: self.repository, **self.packages}.items():
            repository, _, folder = place.partition(":")
            for path, text in checkouts.package(repository, folder).items():
                files[f"dbt_packages/{name}/{path}"] = text
        files |= self.files
        files["dbt_project.yml"] = "\n".join(
            "profile: shop" if line.startswith("profile:") else line for line in files["dbt_project.yml"].splitlines()
        )
        return Scenario(files, self.steps, threads=THREADS, own=self.own)


def _commands(*lines: str) -> tuple[Step, ...]:
    return tuple(Step(command=line) for line in lines)


_OWN_TESTS = _commands("seed", "run", "test")

_ELEMENTARY_PROJECT = {
    "dbt_project.yml": """\
name: watched
version: '1.0'
profile: shop
flags: {require_explicit_package_overrides_for_builtin_materializations: false}
models:
  elementary: {+schema: elementary}
""",
    "macros/elementary.sql": """\
{% materialization test, default %}{{ return(elementary.materialization_test_default()) }}{% endmaterialization %}
""",
    "seeds/orders.csv": "id,amount,ordered_at\n1,10,2024-01-01\n2,20,2024-01-02\n3,,2024-01-03\n4,40,2024-01-03\n",
    "models/paid.sql": "select id, amount, ordered_at from {{ ref('orders') }} where amount is not null",
    "models/daily.sql": """\
{{ config(materialized='table') }}
select ordered_at, count(*) as orders, sum(amount) as amount from {{ ref('paid') }} group by 1
""",
    "models/history.sql": """\
{{ config(materialized='incremental', unique_key='id') }} select id, amount from {{ ref('paid') }}
""",
    "models/broken.sql": "select cast('nothing' as integer) as id",
    "models/models.yml": """\
models:
  - name: paid
    data_tests: [elementary.schema_changes, elementary.volume_anomalies]
    columns:
      - {name: id, data_tests: [unique, not_null]}
      - {name: amount, data_tests: [not_null, {accepted_values: {arguments: {values: [10, 20]}}}]}
  - name: daily
    data_tests: [elementary.schema_changes]
    columns:
      - name: amount
        data_tests: [not_null, {elementary.column_anomalies: {arguments: {column_anomalies: [null_count, max]}}}]
  - name: broken
    columns: [{name: id, data_tests: [not_null]}]
seeds:
  - name: orders
    columns: [{name: amount, data_tests: [{not_null: {config: {severity: warn}}}]}]
""",
}

PACKAGES = (
    Package(
        "dbt_utils",
        "dbt-labs/dbt-utils",
        (Step(command="build", options={"full_refresh": True}), Step(command="build")),
        project="integration_tests",
    ),
    Package(
        "dbt_expectations",
        "calogica/dbt-expectations",
        # Its series are random numbers, of which some tests fail now and then.
        (
            *_commands("seed", "run"),
            Step(
                command="test",
                options={
                    "exclude": "test_name:expect_column_values_to_be_within_n_stdevs "
                    "test_name:expect_column_values_to_be_within_n_moving_stdevs"
                },
            ),
        ),
        project="integration_tests",
        packages={"dbt_date": "calogica/dbt-date"},
        own=(r".*\.timeseries_\w+\.row_value\w*",),
    ),
    Package("dbt_date", "calogica/dbt-date", _OWN_TESTS, project="integration_tests"),
    Package(
        "audit_helper",
        "dbt-labs/dbt-audit-helper",
        _OWN_TESTS,
        project="integration_tests",
        packages=_DBT_UTILS,
    ),
    Package(
        "codegen",
        "dbt-labs/dbt-codegen",
        (
            Step(command="run-operation", options={"macro": "create_source_table"}),
            *_OWN_TESTS,
            Step(
                command="run-operation",
                options={"macro": "generate_model_yaml", "args": {"model_names": ["child_model", "model_data_a"]}},
            ),
            Step(
                command="run-operation",
                options={
                    "macro": "generate_source",
                    "args": {"schema_name": "main_raw_data", "generate_columns": True},
                },
            ),
        ),
        project="integration_tests",
        packages=_DBT_UTILS,
    ),
    Package(
        "dbt_project_evaluator",
        "dbt-labs/dbt-project-evaluator",
        (Step(command="build", options={"full_refresh": True}),),
        project="integration_tests",
        packages={
            **_DBT_UTILS,
            "exclude_package": "dbt-labs/dbt-project-evaluator:integration_tests/exclude_package",
        },
    ),
    Package(
        "dbt_artifacts",
        "brooklyn-data/dbt_artifacts",
        tuple(
            Step(
                command="build",
                env={"TEST_ENV_VAR_NUMBER": "3", "TEST_ENV_VAR_EMPTY": "", "TEST_ENV_VAR_WITH_QUOTE": "it's"},
            )
            for _ in range(2)
        ),
        project="integration_test_project",
        databases=("postgres",),
        own=(*_TIMES, r".*\.\w+_execution_id"),
    ),
    Package(
        "elementary",
        "elementary-data/dbt-data-reliability",
        (
            Step(command="build", env=_JOB),
            Step(command="test", env=_JOB),
            Step(command="build", env=_JOB, options={"exclude": "broken"}),
        ),
        own=(*_TIMES, *_OF_ELEMENTARY),
        files=_ELEMENTARY_PROJECT,
        packages=_DBT_UTILS,
    ),
)
