"""The versions that `--version` shows, read from the installed packages' metadata: dbt is never imported for it."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distributions, version

_DBTS_OWN = {"global_project", "starter_project"}
"""Packages in dbt/include that are dbt's, not an adapter's."""


def version_text() -> str:
    """One line for us, dbt-core, each installed dbt adapter, and Temporal's SDK."""
    names = ["dbt-temporal", "dbt-core", *installed_adapters(), "temporalio"]
    width = max(len(name) for name in names)
    return "\n".join(f"{name:<{width}}  {_version_of(name)}" for name in names)


def installed_adapters() -> list[str]:
    """Names of the installed dbt adapters: distributions `dbt-*` that bring a package `dbt/include/<warehouse>`."""
    packages = {(package.metadata["Name"] or "").lower(): package for package in distributions()}
    return sorted(name for name, package in packages.items() if name.startswith("dbt-") and _is_adapter(package))


def _is_adapter(package: Distribution) -> bool:
    return any(
        len(file.parts) == 4
        and file.parts[:2] == ("dbt", "include")
        and file.parts[2] not in _DBTS_OWN
        and file.name == "dbt_project.yml"
        for file in package.files or ()
    )


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
