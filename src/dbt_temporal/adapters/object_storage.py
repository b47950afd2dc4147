"""Buckets and other places that fsspec reaches, with credentials and endpoints from the usual environment variables.

What the libraries of the clouds read themselves (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, STORAGE_EMULATOR_HOST, ...) they read from the process; here is the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec  # type: ignore[import-untyped]

from dbt_temporal.domain.errors import configuration_error

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that brings what a scheme needs."""
S3_CONNECTIONS = 32
"""At once, to a bucket; the default of 10 makes many small objects wait for each other."""
_TRUE = frozenset({"1", "true", "yes", "on"})


def scheme_of(url: str) -> str | None:
    """The scheme of a URL, or None for a path."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator else None


def open_storage(what: str, url: str, environ: Mapping[str, str], **options: Any) -> tuple[Any, str]:
    """A file system of fsspec, and the path of `url` in it.

    Args:
        what: how messages name the URL, such as `ARTIFACT_STORE='s3://bucket'`.
        url: with a scheme.
        environ: AWS_ENDPOINT and AWS_ALLOW_HTTP are read from it.
        **options: for the file system.

    Raises:
        DbtTemporalError: of type Configuration, where the scheme is unknown or its package is missing.
    """
    scheme = scheme_of(url)
    options = _options_of(scheme, what, environ) | options
    try:
        # Nothing is remembered between calls: others write to the same places, and the environment is read anew.
        kind = _file_system(scheme)
        options = kind._get_kwargs_from_urls(url) | options
        files = kind(use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme or "")
        remedy = f'install "dbt-temporal[{extra}]"' if extra else f"install what it needs ({error})"
        raise configuration_error(f"{what}: {scheme}:// is not available here: {remedy}") from error
    except ValueError as error:
        raise configuration_error(f"{what}: {error}") from error
    return files, str(kind._strip_protocol(url))


def problem(error: BaseException, permission: str) -> str:
    """What went wrong at a store, with what can be done about it; `permission` is what its credentials must allow."""
    message = str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"there is no such bucket or object ({message})"
    if isinstance(error, PermissionError) or type(error).__name__ in ("NoCredentialsError", "RefreshError"):
        return f"access was denied; give this worker credentials that may {permission} ({message})"
    return message


def _file_system(scheme: str | None) -> Any:
    if EXTRAS.get(scheme or "") == "gcs":
        # Not the class that gcsfs registers, which is an experiment that asks another service for the kind of bucket:
        # that takes further permissions, and does not end where an emulator is used.
        from gcsfs.core import GCSFileSystem  # type: ignore[import-untyped]

        return GCSFileSystem
    return fsspec.get_filesystem_class(scheme)


def _options_of(scheme: str | None, what: str, environ: Mapping[str, str]) -> dict[str, Any]:
    match EXTRAS.get(scheme or ""):
        case "s3":
            return _s3_options(what, environ)
        case "gcs" if environ.get("STORAGE_EMULATOR_HOST"):
            return {"token": "anon"}  # an emulator knows no credentials, and looking for some takes seconds
    return {}


def _s3_options(what: str, environ: Mapping[str, str]) -> dict[str, Any]:
    options = {
        # One request reads an object. The default asks for the size first, and reads parts that may not fit together.
        "max_concurrency": 1,
        "config_kwargs": {"max_pool_connections": S3_CONNECTIONS},
    }
    # AWS_ENDPOINT_URL and its kin come first.
    endpoint = environ.get("AWS_ENDPOINT", "").strip()
    if not endpoint or environ.get("AWS_ENDPOINT_URL") or environ.get("AWS_ENDPOINT_URL_S3"):
        return options
    if endpoint.startswith("http://") and environ.get("AWS_ALLOW_HTTP", "").strip().lower() not in _TRUE:
        raise configuration_error(f"{what}: AWS_ENDPOINT={endpoint!r} is not encrypted; set AWS_ALLOW_HTTP=true for it")
    return {**options, "endpoint_url": endpoint}
