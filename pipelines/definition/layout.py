"""How the steps of a document are named, ordered and connected, defaults filled in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RESERVED_TARGETS = frozenset({"next", "end", "fail"})
_ALWAYS_KNOWN = frozenset({"subject", "trigger", "vars", "steps", "run", "pipeline", "team", "now"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: its index in the document, its number and its key."""

    index: int
    number: int
    key: str
    step: Mapping[str, Any]


def places(document: Mapping[str, Any]) -> list[Place]:
    """The steps in their order; a step without a number follows the one before it."""
    found = list(_numbered(document.get("steps") or ()))
    return sorted(found, key=lambda place: place.number)


def subject_model(document: Mapping[str, Any]) -> str | None:
    """The model whose records go through the pipeline."""
    subject = document.get("subject")
    model = subject.get("model") if isinstance(subject, Mapping) else subject
    return model if isinstance(model, str) else None


def subject_alias(document: Mapping[str, Any]) -> str | None:
    """The name the document gives to its subject, the name of the model by default."""
    model, subject = subject_model(document), document.get("subject")
    if model is None:
        return None
    alias = subject.get("as") if isinstance(subject, Mapping) else None
    return alias if isinstance(alias, str) else model.rpartition(".")[2]


def subject_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Every name that means the subject."""
    model, alias = subject_model(document), subject_alias(document)
    if model is None or alias is None:
        return frozenset({"subject"})
    return frozenset({"subject", alias, model.rpartition(".")[2]})


def variable_names(document: Mapping[str, Any]) -> frozenset[str]:
    """The names of the declared variables."""
    declared = document.get("variables") or ()
    names = [each.get("name") for each in declared if isinstance(each, Mapping)]
    return frozenset(name for name in names if isinstance(name, str))


def context_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Every root name that conditions, expressions and templates of the document may use."""
    return _ALWAYS_KNOWN | subject_names(document) | variable_names(document)


def following(steps: Sequence[Place], position: int) -> str:
    """The key of the step after a position, or the end."""
    return steps[position + 1].key if position + 1 < len(steps) else "end"


def _numbered(steps: Sequence[Any]) -> Iterator[Place]:
    number = 0
    for index, step in enumerate(steps):
        if not isinstance(step, Mapping):
            continue
        given = step.get("number")
        number = given if isinstance(given, int) and not isinstance(given, bool) else number + 1
        key = step.get("key")
        yield Place(index, number, key if isinstance(key, str) else f"step_{number}", step)
