"""Rules of the repository itself that no other tool checks."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAX_MODULE_LINES = 350
MAX_PACKAGE_MODULES = 12
CONSTRAINTS = sorted((ROOT / "constraints").glob("dbt-*.txt"))
TARGET = re.compile(r"^(?P<name>[a-z][\w.-]*):(?!=)(?P<rest>.*)$", re.MULTILINE)


def makefile_targets() -> dict[str, str]:
    """Target name to the rest of its line."""
    return {found["name"]: found["rest"] for found in TARGET.finditer((ROOT / "Makefile").read_text())}


def pins(path: Path) -> dict[str, str]:
    """Normalized distribution name to version."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {normalized(name): version for name, _, version in (line.partition("==") for line in lines)}


def normalized(name: str) -> str:
    """A distribution name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared_dependencies() -> set[str]:
    """Normalized names of all that pyproject.toml asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    names = {normalized(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}
    return names - {"dbt-temporal"}


def check_imports(*args: str) -> None:
    """Checks the contracts of pyproject.toml, or those that are named."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache", *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_longer_than_one_can_read_in_one_sitting() -> None:
    folders = [ROOT / "src", ROOT / "tests", ROOT / "benchmarks"]
    lengths = {path: len(path.read_text().splitlines()) for folder in folders for path in folder.rglob("*.py")}
    assert lengths
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("folder", [ROOT / "src" / "dbt_temporal", ROOT / "tests"], ids=lambda folder: folder.name)
def test_no_package_has_more_than_a_dozen_modules(folder: Path) -> None:
    sizes = Counter(path.parent for path in folder.rglob("*.py") if path.name != "__init__.py")
    assert sizes
    assert {str(package.relative_to(ROOT)): n for package, n in sizes.items() if n > MAX_PACKAGE_MODULES} == {}


def test_imports_point_inward_only() -> None:
    check_imports()


def test_no_imports_go_in_circles() -> None:
    check_imports("--contract", "circles")


def test_the_package_itself_imports_nothing_and_offers_dbt_no_plugins() -> None:
    # dbt imports every top-level module called dbt_* in each of its processes, and reads its attribute `plugins`.
    script = (
        "import sys; before = set(sys.modules); import dbt_temporal; "
        "print(sorted(set(sys.modules) - before), hasattr(dbt_temporal, 'plugins'))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['dbt_temporal'] False"


def test_every_adapter_package_is_under_the_import_rules() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    independent = next(contract["modules"] for contract in contracts if contract["type"] == "independence")
    adapters = ROOT / "src" / "dbt_temporal" / "adapters"
    packages = {f"dbt_temporal.adapters.{path.parent.name}" for path in adapters.glob("*/__init__.py")}
    assert packages == set(independent)


def test_every_make_target_says_what_it_does() -> None:
    targets = makefile_targets()
    assert targets
    assert [name for name, rest in targets.items() if not re.search(r"## \S", rest)] == []


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")}
    assert names == set(makefile_targets())


def test_ci_readme_and_contributing_name_only_make_targets_that_exist() -> None:
    named = set()
    for text in ((ROOT / name).read_text() for name in (".ci/run", "README.md", "CONTRIBUTING.md")):
        named |= set(re.findall(r"^(?:step |\s*)make ([a-z][\w.-]*)", text, re.MULTILINE))
        named |= set(re.findall(r"[`']make ([a-z][\w.-]*)[`']", text))
    assert named
    assert named - set(makefile_targets()) == set()


def test_there_are_pins_for_each_dbt_version_that_is_tested() -> None:
    assert [path.name for path in CONSTRAINTS] == ["dbt-1.11.txt", "dbt-1.12.txt"]


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.name)
def test_pins_are_names_and_exact_versions_and_nothing_else(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    # A host name, a URL, a path or a local build tag (`+local`) could not be written in this form.
    allowed = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9a-z.]*")
    assert [line for line in lines if not allowed.fullmatch(line)] == []


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.name)
def test_pins_cover_every_declared_dependency(path: Path) -> None:
    assert declared_dependencies() - set(pins(path)) == set()


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.name)
def test_pins_hold_the_dbt_version_that_their_file_name_says(path: Path) -> None:
    minor = path.stem.removeprefix("dbt-")
    assert pins(path)["dbt-core"].startswith(f"{minor}.")


def test_the_client_asks_for_its_packages_as_the_whole_does() -> None:
    whole, client = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in ("", "client")
    )
    asked = [*client["dependencies"], *(r for extra in client["optional-dependencies"].values() for r in extra)]
    assert set(asked) - set(whole["dependencies"]) == set()
    assert client["requires-python"] == whole["requires-python"]


def test_the_index_of_decisions_names_every_decision() -> None:
    folder = ROOT / "docs" / "adr"
    linked = re.findall(r"\]\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text())
    assert linked == sorted(path.name for path in folder.glob("[0-9]*.md"))
