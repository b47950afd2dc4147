"""Which of dbt's flags Jinja reads while a project is parsed: by them the parse is that of some command lines only.

dbt's own partial parse does not look at flags; a parse for others would give them the configs of another command.
Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `dbt.flags.get_flag_obj` (Jinja's `flags`),
`dbt.context.providers.args_to_dict` (Jinja's `invocation_args_dict`) and `Profile.to_target_dict` (Jinja's `target`,
whose `threads` may be those of a flag).
"""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import dbt.context.providers
import dbt.flags
from dbt.config.profile import Profile

from dbt_temporal.adapters.dbt_core.parents.parse_key import ALL_FLAGS

Note = Callable[[str], None]


@contextlib.contextmanager
def watched_flags() -> Iterator[set[str]]:
    """The names of the flags that Jinja reads within the block, in lower case; `ALL_FLAGS` where it takes all."""
    names: set[str] = set()
    flags, arguments, target = dbt.flags.get_flag_obj, dbt.context.providers.args_to_dict, Profile.to_target_dict
    dbt.flags.get_flag_obj = lambda: _Flags(names.add, flags())
    dbt.context.providers.args_to_dict = lambda args: _Arguments(names.add, arguments(args))
    Profile.to_target_dict = lambda profile: _Target(names.add, target(profile))
    try:
        yield names
    finally:
        dbt.flags.get_flag_obj, dbt.context.providers.args_to_dict = flags, arguments
        Profile.to_target_dict = target


class _Flags(Namespace):
    def __init__(self, note: Note, flags: Namespace) -> None:
        super().__init__(**vars(flags))
        object.__setattr__(self, "_note", note)

    def __getattribute__(self, name: str) -> Any:
        if name.isupper():
            object.__getattribute__(self, "_note")(name.lower())
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        self._note(ALL_FLAGS)
        return repr(Namespace(**{name: value for name, value in vars(self).items() if name.isupper()}))


class _Arguments(dict[str, Any]):
    """Notes each key that is read, and `all_of_it` where the whole is."""

    all_of_it = ALL_FLAGS

    def __init__(self, note: Note, arguments: dict[str, Any]) -> None:
        super().__init__(arguments)
        self._note = note

    def __reduce__(self) -> Any:
        self._note(self.all_of_it)
        return dict, (dict(self),)


class _Target(_Arguments):
    all_of_it = "threads"
    """The one flag among these."""

    def __init__(self, note: Note, target: dict[str, Any]) -> None:
        super().__init__(lambda name: note(name) if name == self.all_of_it else None, target)


def _reading(method: str, *, one: bool) -> Any:
    def read(arguments: _Arguments, *args: Any) -> Any:
        arguments._note(args[0] if one else arguments.all_of_it)
        return getattr(dict, method)(arguments, *args)

    return read


for _method in ("__getitem__", "__contains__", "get"):
    setattr(_Arguments, _method, _reading(_method, one=True))
for _method in ("__iter__", "__len__", "__repr__", "__eq__", "items", "keys", "values"):
    setattr(_Arguments, _method, _reading(_method, one=False))
