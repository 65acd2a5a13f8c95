"""What somebody meant who wrote a name that means nothing here, and where in a document it stands."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Final

from .expressions import ExpressionError, name_places
from .layout import Path, every_place, subject_alias, variable_names
from .reading import CONDITION_KEYS
from .secret_places import SECRET, secret_fault
from .shapes import Problem, spoken_path
from .templates import TemplateError, has_markup, names_in

# The names of the fields of what a document is about; a function, for nobody asks who made no slip.
Fields = Callable[[], Collection[str]]
_ROOTS_ALIKE: Final = 0.6
# Fields are many, so one of them is soon a little like anything.
_WORDS_ALIKE: Final = 0.75
_DEEPEST: Final = 40
_MOST_TOLD: Final = 20
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def no_fields() -> Collection[str]:
    """Of a document without a subject, and where nobody knows the fields."""
    return ()


def unknown_name(
    path: tuple[str, ...], at: Path, document: Mapping[str, Any], known: Collection[str], fields: Fields
) -> Iterator[Problem]:
    """A problem for each place below `at` that reads a path whose first name is not among `known`."""
    if path[0] == SECRET:
        yield from _misplaced_secrets(at, document)
        return
    told = f"unknown name '{path[0]}'{meant_by(path, known, words_of(document, fields))}"
    for inside, place in places_of(path[:1], part_of(document, at), condition=is_condition(at)):
        yield Problem(spoken_path((*at, *inside)), f"{told}{place}")


def _misplaced_secrets(at: Path, document: Mapping[str, Any]) -> Iterator[Problem]:
    """A problem for each place below `at` that reads a secret where or how none can be read."""
    step, inside = (part_of(document, at[:-1]), at[-1:]) if at[-1:] == ("with",) else (None, ())
    for more, place in places_of((SECRET,), part_of(document, at), condition=is_condition(at)):
        message = secret_fault(part_of(document, (*at, *more)), step, (*inside, *more))
        if message:
            yield Problem(spoken_path((*at, *more)), f"{message}{place}")


def places_of(path: tuple[str, ...], value: object, *, condition: bool = False) -> list[tuple[Path, str]]:
    """Where a value reads a path: places inside it with " (line 1, column 3)"; the value itself where it is not found.

    Texts of a condition are expressions without the sign '='.
    """
    return _places(value, path, (), condition) or [((), "")]


def meant_by(path: tuple[str, ...], known: Collection[str], words: Mapping[str, str]) -> str:
    """A closing clause with the nearest name; `words` says of others under which name they are read."""
    name = path[0]
    plain = _CAMEL.sub("_", name).lower()
    near = get_close_matches(name, sorted(set(known) - words.keys()), n=1, cutoff=_ROOTS_ALIKE)
    word = plain if plain in words else next(iter(get_close_matches(plain, sorted(words), 1, _WORDS_ALIKE)), "")
    if word and (not near or _alike(plain, word) > _alike(name, near[0])):
        return f"; did you mean '{'.'.join((words[word], *path[1:]))}'?"
    if near:
        return f"; did you mean '{near[0]}'?"
    names = sorted(known)
    more = ", …" if len(names) > _MOST_TOLD else ""
    return f"; there are {', '.join(names[:_MOST_TOLD])}{more}" if names else ""


def words_of(document: Mapping[str, Any], fields: Fields) -> dict[str, str]:
    """How the fields of the subject, the outputs of steps and the variables are read, by their names alone."""
    alias = subject_alias(document)
    steps = {place.key: f"steps.{place.key}" for place in every_place(document)}
    variables = {name: f"vars.{name}" for name in variable_names(document)}
    return steps | variables | ({name: f"{alias}.{name}" for name in fields()} if alias else {})


def is_condition(at: Path) -> bool:
    """Whether texts at this place are expressions without the sign '='."""
    return any(part in CONDITION_KEYS for part in at)


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def part_of(document: object, at: Path) -> object:
    """What stands at a place of a document; None where nothing does."""
    for key in at:
        if isinstance(document, Mapping):
            document = document.get(key)
        else:
            fits = isinstance(document, list | tuple) and isinstance(key, int) and key < len(document)
            document = document[key] if fits else None  # type: ignore[index]
    return document


def _places(value: object, path: tuple[str, ...], at: Path, condition: bool) -> list[tuple[Path, str]]:
    return list(_texts(value, path, at, condition)) if len(at) < _DEEPEST else []


def _texts(value: object, path: tuple[str, ...], at: Path, condition: bool) -> Iterator[tuple[Path, str]]:
    """The texts below a value that read a path, each with the line and column of the first time."""
    if isinstance(value, str):
        found = _in_text(value, path, condition)
        if found:
            line, column = found[0]
            yield at, f" (line {line}, column {column})"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            # What a clause compares with is a text as it stands, and the steps of a block read for themselves.
            if not (key == "steps" and isinstance(item, list | tuple)):
                inside = (condition or key in CONDITION_KEYS) and key != "value"
                yield from _places(item, path, (*at, str(key)), inside)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _places(item, path, (*at, index), condition)


def _in_text(text: str, path: tuple[str, ...], condition: bool) -> list[tuple[int, int]]:
    try:
        if text.startswith("="):
            return name_places(f" {text[1:]}", path)
        if condition:
            return name_places(text, path)
        return names_in(text, path) if has_markup(text) else []
    except (ExpressionError, TemplateError):
        return []
