"""The differences that are known, each with its reason: what fails through us although dbt's command line passes it.

A scenario that is not here must not differ, and one that is here must still differ.
"""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = "asks for dbt's events in the test's own process; ours fire in the processes of runs"
CACHE = "looks into the relation cache of the process that ran dbt"
TARGET = "waits for dbt's warning that state and target are one folder; our runs write to folders of their own"
CLOCK = "sets the clock of the test's own process; our runs have another one"


@dataclass(frozen=True)
class Known:
    """Scenarios whose key, with the test's name, begins with `scenario`; on one database, or on all."""

    scenario: str
    reason: str
    database: str | None = None


KNOWN: tuple[Known, ...] = (
    Known("caching.test_caching.BaseCachingLowercaseModel", CACHE),
    Known("caching.test_caching.BaseCachingSelectedSchemaOnly", CACHE),
    Known("caching.test_caching.BaseCachingUppercaseModel", CACHE),
    Known("caching.test_caching.BaseNoPopulateCache", CACHE),
    Known("dbt_clone.test_dbt_clone.BaseCloneSameTargetAndState", TARGET),
    Known("functions.test_udfs.DeterministicUDF", EVENTS),
    Known("functions.test_udfs.ErrorForUnsupportedType", EVENTS),
    Known("functions.test_udfs.NonDeterministicUDF", EVENTS),
    Known("functions.test_udfs.PythonUDFEntryPointRequired", EVENTS),
    Known("functions.test_udfs.PythonUDFNotSupported", EVENTS),
    Known("functions.test_udfs.PythonUDFRuntimeVersionRequired", EVENTS),
    Known("functions.test_udfs.StableUDF", EVENTS),
    Known("functions.test_udfs.UDFsBasic", EVENTS),
    Known("incremental.test_incremental_microbatch.BaseMicrobatch", CLOCK),
    Known("sample_mode.test_sample_mode.BaseSampleModeTest", CLOCK),
)


def reason_of(database: str, scenario: str, test: str) -> str | None:
    """Why a test is known to differ; None where it is not."""
    for known in KNOWN:
        if known.database in (None, database) and _names(known.scenario, scenario, test):
            return known.reason
    return None


def _names(pattern: str, scenario: str, test: str) -> bool:
    return pattern in (scenario, f"{scenario}.{test}", f"{scenario}.{test.split('[')[0]}")
