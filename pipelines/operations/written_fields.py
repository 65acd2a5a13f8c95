"""Fields that steps write to records: names that nobody has, and values that their field can only refuse.

What the product itself refuses is an error. What a team's definitions refuse is a warning, for they may change.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from contacts.own_fields import Field
from contacts.record_fields import InvalidValues, checked
from pipelines.actions.records import NEEDED, TASK_FIELDS
from pipelines.definition.document import Problem
from pipelines.definition.expressions import suggestion
from pipelines.definition.layout import Path, Place, subject_model, subject_names
from pipelines.definition.shapes import spoken_path
from pipelines.definition.values import is_dynamic, plain_path
from pipelines.operations.field_names import slip
from pipelines.operations.field_types import FieldTypes
from pipelines.subjects import RELATED_MODELS, SubjectType, subject_named

WRITERS: Final = frozenset({"update_record", "create_record"})
_TASK: Final = "crm.task"


def written_problems(
    place: Place, document: Mapping[str, Any], fields: FieldTypes, *, read: Collection[str]
) -> Iterator[Problem]:
    """What is wrong with the values of one step; nothing where nobody knows which kind of record it writes to.

    A name that the document also reads (`read`) is meant as it is written.
    """
    kind_of_step, given = place.step.get("type"), place.step.get("with") or {}
    values, label = given.get("values"), _label(place, document)
    if kind_of_step not in WRITERS or not isinstance(values, Mapping) or not label:
        return
    at, new = (*place.at, "with", "values"), kind_of_step == "create_record"
    kind = subject_named(label)
    if label == _TASK:
        yield from _of_task(values, at)
    elif kind is not None:
        yield from _of_names([name for name in values if name.removeprefix("custom.") not in read], at, kind, fields)
        yield from _of_values(values, at, kind, fields)
        if new:
            yield from _missing(values, at, kind, fields.own(label))


def _label(place: Place, document: Mapping[str, Any]) -> str:
    """The kind of record that a step writes to, as far as the document says; empty when it does not."""
    given = place.step.get("with") or {}
    record, model = given.get("record"), str(given.get("model") or "")
    about = subject_model(document) or ""
    if place.step.get("type") == "create_record":
        return model
    if not record:
        return about
    path = plain_path(record) if isinstance(record, str) else None
    if path is None or path[0] not in subject_names(document):
        return model
    if len(path) == 1:
        return about
    return RELATED_MODELS.get(path[1], "") if len(path) == 2 else ""


def _of_task(values: Mapping[str, Any], at: Path) -> Iterator[Problem]:
    for name in values:
        if name not in TASK_FIELDS:
            hint = suggestion(name, TASK_FIELDS) or f"; it has {', '.join(sorted(TASK_FIELDS))}"
            yield Problem(spoken_path((*at, name)), f"a task has no field '{name}'{hint}")


def _of_names(names: Iterable[str], at: Path, kind: SubjectType, fields: FieldTypes) -> Iterator[Problem]:
    """Records of own types refuse what their type does not define; elsewhere it becomes a custom value."""
    then = "the step fails" if kind.record_type else "it becomes a custom value"
    for name in names:
        # Who writes `custom.` means a value of no column, defined or not.
        own = name.startswith("custom.") and not kind.record_type
        path = ("custom", name.removeprefix("custom.")) if own else (name,)
        found = slip(path, kind, fields, deliberate=own)
        if found:
            joined = f"{found} Otherwise {then}" if found.endswith("?") else f"{found}: {then}"
            yield Problem(spoken_path((*at, name)), joined, "warning")


def _of_values(values: Mapping[str, Any], at: Path, kind: SubjectType, fields: FieldTypes) -> Iterator[Problem]:
    """What a column or a defined field refuses, whoever the run is about."""
    own = {str(each["key"]): each for each in fields.own(kind.label)}
    for name, value in values.items():
        fixed, place = not isinstance(value, Mapping | list | tuple) and not is_dynamic(value), spoken_path((*at, name))
        try:
            column = None if kind.record_type else kind.written(name)
            if column is not None and fixed:
                kind.split_anew({name: value})
        except ValueError as error:
            yield Problem(place, str(error))
            continue
        defined = own.get(name.removeprefix("custom."))
        if column is None and fixed and defined is not None:
            yield from _of_defined(defined, value, place)


def _of_defined(defined: Field, value: Any, place: str) -> Iterator[Problem]:
    try:
        checked([defined], {defined["key"]: value}, partial=True)
    except InvalidValues as error:
        yield Problem(place, f"{error}: the step fails".replace(".:", ":"), "warning")


def _missing(values: Mapping[str, Any], at: Path, kind: SubjectType, own: Sequence[Field]) -> Iterator[Problem]:
    """What a new record cannot do without."""
    needed = NEEDED.get(kind.label, ())
    if needed and not any(values.get(name) for name in needed):
        yield Problem(spoken_path(at), f"a new {kind.name} needs {' or '.join(needed)}")
    for each in own if kind.record_type else ():
        if each.get("required") and values.get(each["key"]) in (None, ""):
            message = f"a new {kind.name} needs a value for '{each['key']}': the step fails"
            yield Problem(spoken_path(at), message, "warning")
