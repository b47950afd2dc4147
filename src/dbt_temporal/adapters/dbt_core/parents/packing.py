"""Makes what workers share of a partial-parse file: `python -m dbt_temporal.adapters.dbt_core.parents.packing`.

A process of its own, at the lowest priority: a large parse takes seconds, which neither the worker's event loop nor a
parent has for it. The order comes by standard input, as JSON: `file`, `out`, `header`, `secrets` (values by the names
of their variables). It needs no dbt.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]

from dbt_temporal.adapters.dbt_core.parents.parse_file import pack
from dbt_temporal.domain.secrets.redaction import MIN_DOCUMENT_LENGTH, MIN_TEXT_LENGTH, SECRET_ENV_PREFIX

HOLDS_SECRET = 3
"""The exit status where a secret stands in the parse; the name of its variable is printed then."""
ENV_VARS = "env_vars"
"""What dbt calls the variables that parsing read, and their values."""


def shareable(data: bytes, header: Mapping[str, Any]) -> bytes:
    """The content of the shared file: without the values of variables, which whoever takes it has as well."""
    parse = msgpack.unpackb(data, raw=False, strict_map_key=False)
    parse[ENV_VARS] = dict.fromkeys(parse.get(ENV_VARS) or {}, "")
    return pack(header, msgpack.packb(parse, use_bin_type=True))


def secret_in(data: bytes, secrets: Mapping[str, str]) -> str | None:
    """The variable whose value stands in the data, if there is one. Short values stand anywhere by chance."""
    for name, value in secrets.items():
        shortest = MIN_TEXT_LENGTH if name.startswith(SECRET_ENV_PREFIX) else MIN_DOCUMENT_LENGTH
        forms = {value.strip(), json.dumps(value.strip())[1:-1]}
        if len(value.strip()) >= shortest and any(form.encode() in data for form in forms):
            return name
    return None


def main() -> int:
    os.nice(19)
    order = json.load(sys.stdin)
    data = Path(order["file"]).read_bytes()
    name = secret_in(data, order["secrets"])
    if name is not None:
        print(name)
        return HOLDS_SECRET
    Path(order["out"]).write_bytes(shareable(data, order["header"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
