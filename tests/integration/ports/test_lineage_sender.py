"""What sends lineage by OpenLineage's client keeps what its port promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbt_temporal.adapters.openlineage.sender import OpenLineageSender
from dbt_temporal.adapters.openlineage.start import start_lineage
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import LineageSenderContract
from dbt_temporal.testing.contracts.lineage import Received
from tests.integration.consumers.collector import Collector, collecting


class TestOpenLineageSender(LineageSenderContract):
    @pytest.fixture
    def collector(self) -> Iterator[Collector]:
        with collecting() as server:
            yield server

    @pytest.fixture
    def sender(self, collector: Collector) -> OpenLineageSender:
        sender = start_lineage(read_settings({"OPENLINEAGE_URL": collector.url}).lineage)
        assert sender is not None
        return sender

    @pytest.fixture
    def received(self, collector: Collector) -> Received:
        return collector.told
