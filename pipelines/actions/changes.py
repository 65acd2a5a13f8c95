"""What a step wants changed, as data: the engine writes all changes of a batch by type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Set(NamedTuple):
    """Assign variables of the run."""

    values: Mapping[str, Any]


class Update(NamedTuple):
    """Set fields of a record; keys that are no columns become custom values."""

    model: str
    pk: int
    values: Mapping[str, Any]


class Create(NamedTuple):
    """Insert a row: a task, a notification, or a record whose id becomes part of the visit's output.

    Values of records are checked before: columns and custom values, or the values of a type's fields.
    """

    model: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MakeSegment:
    """Make a segment of the team, unless it has one with this key."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """Put a record into a segment of the team, or take it out."""

    segment: str
    model: str
    pk: int
    add: bool


@dataclass(frozen=True, slots=True)
class Enroll:
    """Put a record into another pipeline of the team, as by hand."""

    pipeline: str
    model: str | None
    pk: int | None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unenroll:
    """End what runs a record has in another pipeline of the team."""

    pipeline: str
    model: str
    pk: int


Change = Set | Update | Create | MakeSegment | Member | Enroll | Unenroll
