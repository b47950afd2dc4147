"""Whatever has changed since another worker parsed is noticed: by the key of its parse, and by dbt's own checks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.parents.parse_file import pack, seal, unpack, unseal
from tests.integration.equality.compare import difference
from tests.integration.parses.fleet import FILES, PACKAGE, PARTLY, PROFILES, TAKEN, WHOLE, Fleet

pytestmark = pytest.mark.every_dbt_version

Change = Callable[[Fleet], None]


def edits(**files: str) -> Change:
    """Writes files, whose names have `__` for `/`."""
    return lambda fleet: fleet.write({name.replace("__", "/"): text for name, text in files.items()})


def yaml_with_its_old_time(fleet: Fleet) -> None:
    """dbt takes a YAML file for unchanged by its time alone; in images and archives all files may have the same."""
    file = fleet.folder / "shop" / "models" / "shop.yml"
    before = file.stat()
    file.write_text(FILES["models/shop.yml"].replace("one", "two"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def a_file_goes(fleet: Fleet) -> None:
    (fleet.folder / "shop" / "models" / "priced.sql").unlink()
    fleet.write({"models/above.sql": "select 1 as x"})


def variables(**values: str) -> Change:
    return lambda fleet: fleet.environ.update(values)


OF_FILES: dict[str, Change] = {
    "a model": edits(**{"models__left.sql": "select 2 as x"}),
    "a further model": edits(**{"models__added.sql": "select 1 as x"}),
    "a model that goes": a_file_goes,
    "YAML": yaml_with_its_old_time,
    "a macro": edits(**{"macros__price.sql": FILES["macros/price.sql"].replace("100", "250")}),
    "dbt_project.yml": edits(**{"dbt_project.yml": FILES["dbt_project.yml"] + "models: {+schema: other}\n"}),
    "a package": edits(
        **{"../pricing/macros/discount.sql": PACKAGE["../pricing/macros/discount.sql"].replace("7", "9")}
    ),
    "a seed": edits(**{"seeds__rates.csv": "id,rate\n1,6\n"}),
}


def take_for(parse: Path, key: str) -> None:
    """Puts a parse where that of another project belongs, as if both were the same by all that we know of them."""
    header, data = unpack(unseal(parse.read_bytes(), [b""]))
    parse.with_name(f"{key}.parse").write_bytes(seal(pack({**header, "key": key}, data), b""))


@pytest.mark.parametrize("change", OF_FILES.values(), ids=OF_FILES)
async def test_an_edited_project_is_noticed_by_us_and_by_dbt_itself(fleet: Fleet, change: Change) -> None:
    if change is OF_FILES["a package"]:
        fleet.write(PACKAGE)
    await fleet.begins()
    change(fleet)
    said, expected = await fleet.lists()
    assert said == WHOLE
    before, after = fleet.parses()
    take_for(before, after.stem)
    said, manifest = await fleet.lists()
    # With another dbt_project.yml dbt does not begin with a parse at all.
    assert said == (WHOLE if change is OF_FILES["dbt_project.yml"] else PARTLY)
    assert difference(manifest, expected) == []


OF_SETTINGS: dict[str, Change] = {
    "a variable that a model reads": variables(WHO="me"),
    "the profile": edits(**{"..__profiles__profiles.yml": PROFILES.replace("main", "other")}),
    "a flag that a model reads": variables(DBT_FULL_REFRESH="true"),
    "what is installed": lambda fleet: fleet.environ.update(PYTHONPATH=str(fleet.folder / "python")),
    "a variable that dbt copies into the manifest": variables(DBT_ENV_CUSTOM_ENV_TEAM="data"),
}


@pytest.mark.parametrize("change", OF_SETTINGS.values(), ids=OF_SETTINGS)
async def test_a_parse_by_other_settings_is_not_used(fleet: Fleet, change: Change) -> None:
    (fleet.folder / "python" / "dbt_other-9.9.dist-info").mkdir(parents=True)
    fleet.write({"models/left.sql": "{{ config(alias='left_' ~ flags.FULL_REFRESH) }} select 1 as x"})
    _, before = await fleet.lists()
    change(fleet)
    assert await fleet.begins() == WHOLE
    said, manifest = await fleet.lists()
    assert said == TAKEN  # the new one lies beside that of before, or took its place
    if change is not OF_SETTINGS["what is installed"]:
        assert difference(manifest, before) != []


async def test_another_target_has_a_parse_of_its_own(fleet: Fleet) -> None:
    both = PROFILES.replace("{dev: ", "{prod: &same ").replace("}}}", "}, dev: *same}}")
    fleet.write({"../profiles/profiles.yml": both, "models/left.sql": "{{ config(alias=target.name) }} select 1 as x"})
    for fleet.target in ("dev", "prod"):
        assert await fleet.begins() == WHOLE
    said, manifest = await fleet.lists()
    assert (said, manifest["nodes"]["model.shop.left"]["alias"]) == (TAKEN, "prod")


async def test_a_project_of_the_same_name_elsewhere_has_a_parse_of_its_own(fleet: Fleet) -> None:
    await fleet.begins()
    shutil.copytree(fleet.folder / "shop", fleet.folder / "copy")
    fleet.project = "copy"
    said, manifest = await fleet.lists()
    assert said == WHOLE
    assert manifest["nodes"]["seed.shop.rates"]["root_path"] == str(fleet.folder / "copy")
