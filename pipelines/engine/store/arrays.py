"""Columns as array literals of PostgreSQL: much cheaper to write than to adapt value by value."""

from collections.abc import Hashable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


def literal(values: Iterable[Any]) -> str:
    """`{1,NULL,"two"}` for values of one column; every type that the engine writes in bulk."""
    shown: dict[Any, str] = {}
    parts = []
    for value in values:
        if value.__class__ is int:
            parts.append(str(value))
            continue
        # Most columns repeat few values; booleans are kept from passing for numbers.
        key = (value.__class__, value)
        text = shown.get(key)
        if text is None:
            text = shown[key] = _one(value)
        parts.append(text)
    return "{" + ",".join(parts) + "}"


def numbers(values: Iterable[int | None]) -> str:
    """The same for whole numbers, most of which differ."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _one(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "t" if value else "f"
        case int() | float() | Decimal():
            return str(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case datetime() | date():
            return f'"{value.isoformat()}"'
        case UUID():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written in bulk.")


def group(keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Rows by equal keys: the group number of each row, from 1, and the first row of each group."""
    numbers: dict[Hashable, int] = {}
    firsts: list[int] = []
    members = []
    for index, key in enumerate(keys):
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(firsts) + 1
            firsts.append(index)
        members.append(number)
    return members, firsts
