"""Exceptions of libraries that are not installed."""

from __future__ import annotations


def driver_error(path: str, message: object, **fields: object) -> Exception:
    """An exception of a driver that is not installed: its module, its classes from base to class, its attributes."""
    module, *names = path.split(" ")
    cls: type[Exception] = Exception
    for name in names:
        cls = type(name, (cls,), {"__module__": module})
    error = cls(message)
    for name, value in fields.items():
        setattr(error, name, value)
    return error
