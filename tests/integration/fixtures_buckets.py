"""Fixtures of object stores: `storage` runs a test on each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.integration.buckets import S3, Gcs, Storage, gcs_server, s3_server

Kind = TypeVar("Kind", bound=Storage)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    with gcs_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    return _reachable(S3(s3_endpoint), monkeypatch)


@pytest.fixture
def gcs(gcs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Gcs:
    return _reachable(Gcs(gcs_endpoint), monkeypatch)


@pytest.fixture(params=["s3", "gs"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A bucket, reachable by the environment of this process, as the libraries of the clouds read it."""
    if request.param == "s3":
        return _reachable(S3(request.getfixturevalue("s3_endpoint")), monkeypatch)
    return _reachable(Gcs(request.getfixturevalue("gcs_endpoint")), monkeypatch)


def _reachable(storage: Kind, monkeypatch: pytest.MonkeyPatch) -> Kind:
    for name, value in storage.environ.items():
        monkeypatch.setenv(name, value)
    return storage
