"""Steps that look records up."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pipelines.actions.base import Done, Fail, Fault, Input, Kind, Outcome, RecordShape, Search
from pipelines.definition.conditions import Condition, compile_condition
from pipelines.definition.narrowing import narrowing
from pipelines.definition.program import Step
from pipelines.definition.templates import follow
from pipelines.definition.values import ParameterError, Value, compile_value, is_dynamic
from pipelines.definition.variables import counted
from pipelines.subjects import OWN, subject_types

MOST_FOUND = 500
# No field of a record is called so.
_GIVEN = "zz_given_"
MODEL = {
    "type": "string",
    "title": "Kind of record",
    "description": "contacts.contact, contacts.company, contacts.deal or records.<type>.",
    "x-widget": "record_model",
    "pattern": r"^(contacts\.(contact|company|deal)|records\.[a-z][a-z0-9_]{0,39})$",
    "x-says": "must be contacts.contact, contacts.company, contacts.deal or records.<type>",
}


class FindRecords(Kind):
    """Looks up records of the team and hands them to later steps."""

    code = "find_records"
    label = "Find records"
    description = "Finds records of the team that meet a condition; later steps read them as records and count."
    icon = "search"
    group = "Records"
    searches = True
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["model"],
        "properties": {
            "model": MODEL,
            "where": {
                "title": "Where",
                "description": "A condition on the fields of the records; empty finds all.",
                "x-widget": "json",
            },
            "order": {
                "type": "string",
                "title": "Order",
                "description": "A field, with - in front for the largest first; empty is the newest first.",
                "pattern": "^-?[a-z][a-z0-9_]{0,39}$",
                "x-says": "must be the name of a field, such as created_at or -amount",
            },
            "limit": {"type": "integer", "title": "At most", "minimum": 1, "maximum": MOST_FOUND, "default": 100},
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        yield from fixed_model(step)

    def reads_record_types(self, step: Step) -> bool:
        return str(step.raw.get("model", "")).startswith(OWN)

    def search(self, step: Step, visit: Input) -> Search | Fail | None:
        try:
            params = step.params.evaluate(visit.context)
        except ParameterError as error:
            return Fail(str(error), code="expression")
        model = str(params["model"])
        shape = visit.resources.record_type(model.removeprefix(OWN)) if model.startswith(OWN) else None
        order, limit = str(params.get("order") or ""), int(params.get("limit") or 100)
        about = [visit.team_id, step.id, model, order, limit]
        search = Search(
            key=json.dumps(about), team_id=visit.team_id, model=model, shape=shape, order=order, limit=limit
        )
        if step.raw.get("where") is None:
            return search
        wanted = _wanted(json.dumps(step.raw["where"], sort_keys=True))
        fields = _fields(model, shape)
        try:
            context = {**visit.context, **dict.fromkeys(fields), **wanted.given(visit.context)}
        except ParameterError as error:
            return Fail(str(error), code="expression")
        read = {".".join(path): follow(context, path) for path in wanted.condition.paths if path[0] not in fields}
        return replace(
            search,
            key=json.dumps([*about, read], default=str, sort_keys=True),
            where=wanted.condition,
            narrowed=narrowing(wanted.raw, context=context, is_field=fields.__contains__),
            context=context,
        )

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"records", "count"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [_outcome(visit) for visit in batch]


def fixed_model(step: Mapping[str, Any]) -> Iterator[Fault]:
    """What a step works on must be known when it is published."""
    if is_dynamic(step["with"].get("model")):
        yield ("with", "model"), "the kind of record must be fixed, not a template"


def _outcome(visit: Input) -> Outcome:
    if visit.found is None:
        return Fail("Nothing was looked up.", code="lost")
    if visit.found.error:
        return Fail(visit.found.error, code="validation")
    records = [remembered(record) for record in visit.found.records]
    shown = {"count": len(records), "ids": [record["id"] for record in records[:20]]}
    return Done(output={"records": records, "count": len(records)}, shown=shown)


def remembered(record: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a record whose amounts are numbers for the steps after it, as they are where it is the subject."""
    return {name: counted(value) if isinstance(value, Decimal) else value for name, value in record.items()}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A condition on records whose values have names, so that they are worked out before and never twice."""

    raw: Any
    condition: Condition
    values: tuple[Value, ...]

    def given(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The values by their names; raises ParameterError."""
        return {f"{_GIVEN}{index}": value.evaluate(context) for index, value in enumerate(self.values)}


@lru_cache(maxsize=2_000)
def _wanted(where: str) -> _Wanted:
    values: list[Value] = []
    raw = _named(json.loads(where), values)
    return _Wanted(raw, compile_condition(raw), tuple(values))


def _named(where: Any, values: list[Value]) -> Any:
    """The condition with a name in place of each value that is worked out."""
    if isinstance(where, list):
        return [_named(part, values) for part in where]
    if not isinstance(where, dict):
        return where
    if "field" not in where:
        return {word: _named(part, values) for word, part in where.items()}
    value = compile_value(where.get("value"))
    if value.is_constant:
        return where
    values.append(value)
    return {**where, "value": f"= {_GIVEN}{len(values) - 1}"}


def _fields(model: str, shape: RecordShape | None) -> frozenset[str]:
    """The names that mean a field of the records, before they mean anything else."""
    always = {"id", "record", "model", "created_at", "updated_at"}
    if shape is not None:
        return frozenset(always | {str(each["key"]) for each in shape.fields})
    known = subject_types().get(model)
    if known is None:
        return frozenset(always)
    return frozenset({*always, *known.plain, *known.relations, *known.derived, "custom"})
