"""One batch of a file of records, inside the caller's transaction: look up, create, change, announce."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from contacts import hooks
from contacts.custom import merged
from contacts.imports.mapping import MappingProblem
from contacts.imports.records.drafting import Draft, Told, draft, fill, wanted
from contacts.imports.records.keys import comparable, found_by
from contacts.imports.records.relations import Relations
from contacts.imports.records.shape import ID, Shape
from contacts.models import RecordType
from crm.models import Team


class KindGone(MappingProblem):
    """The type of records was deleted while its records came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(f"The type of records “{shape.spoken}” was deleted, and its records with it.")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows that were found good, the titles of columns by what they fill, and what to do with them."""

    shape: Shape
    rows: Sequence[Told]
    key: str
    titles: Mapping[str, str]
    announce: bool


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of the rows of one batch; `refused` are the reasons by line."""

    created: Sequence[Any]
    updated: int
    unchanged: int
    enrolled: int
    refused: Mapping[int, str]


def write_batch(batch: Batch) -> Written:
    """Create or change the records of a batch; a row about which there is a doubt is refused. Raises KindGone."""
    _keep_type(batch.shape)
    # Two imports into one team take turns, so that neither creates what the other just did.
    Team.objects.select_for_update(no_key=True).get(pk=batch.shape.team.pk)
    refused: dict[int, str] = {}
    drafts = _drafts(batch, refused)
    relations = Relations(batch.shape.team, wanted(drafts))
    for each in drafts:
        fill(batch.shape, each, relations, batch.titles)
        if each.problems:
            refused[each.told.row.line] = " ".join(each.problems)
    good = [each for each in drafts if not each.problems]
    changed = [each for each in good if each.record is not None and (each.values or each.own)]
    before = {each.record.pk: _before(batch.shape, each.record) for each in changed}
    fresh = [each for each in good if each.record is None]
    created = batch.shape.model.objects.bulk_create([_new(batch.shape, each) for each in fresh])
    fields = _store(batch.shape, changed)
    return Written(
        created=created,
        updated=len(changed),
        unchanged=len(good) - len(changed) - len(fresh),
        enrolled=_announce(batch, created, fields, before),
        refused=refused,
    )


def _keep_type(shape: Shape) -> None:
    """Who deletes the type waits until the batch is written."""
    if shape.type is None:
        return
    rows = RecordType.objects.select_for_update(no_key=True).filter(pk=shape.type.pk)
    if not list(rows.values_list("pk", flat=True)):
        raise KindGone(shape)


def _drafts(batch: Batch, refused: dict[int, str]) -> list[Draft]:
    shape, key = batch.shape, batch.key
    found = found_by(shape=shape, key=key, texts=[told.key for told in batch.rows])
    drafts = []
    for told in batch.rows:
        same = found.get(comparable(shape, key, told.key), [])
        if len(same) > 1:
            ids = ", ".join(str(each.pk) for each in same[:5])
            refused[told.row.line] = f"{len(same)} have this {batch.titles[key]} ({ids}): choose another key."
        elif not same and key == ID:
            refused[told.row.line] = f"There is no {shape.spoken} {told.key[:20]} in this team."
        else:
            drafts.append(draft(shape, told, same[0] if same else None, key=key))
    return drafts


def _before(shape: Shape, record: Any) -> dict[str, Any]:
    """The columns that a file may write, relations by their ids."""
    return {field.name: getattr(record, field.attname) for field in _columns(shape)}


def _columns(shape: Shape) -> list[Any]:
    names = {*shape.plain, *shape.relations, shape.column}
    return [field for field in shape.model._meta.concrete_fields if field.name in names]


def _new(shape: Shape, draft: Draft) -> Any:
    kind = {} if shape.type is None else {"type": shape.type}
    return shape.model(team=shape.team, **kind, **draft.values, **{shape.column: draft.own})


def _store(shape: Shape, drafts: Sequence[Draft]) -> list[str]:
    """Write changed records in one statement; answers which fields of them."""
    now = timezone.now()
    written: set[str] = set()
    for each in drafts:
        for name, value in each.values.items():
            setattr(each.record, name, value)
        if each.own:
            setattr(each.record, shape.column, _merged(shape, each))
        written |= {*each.values, *([shape.column] if each.own else [])}
        each.record.updated_at = now
    fields = [field.name for field in _columns(shape) if written & {field.name, field.attname}]
    if fields:
        records = [each.record for each in drafts]
        shape.model.objects.bulk_create(
            records, update_conflicts=True, unique_fields=["id"], update_fields=[*fields, "updated_at"]
        )
    return fields


def _merged(shape: Shape, draft: Draft) -> dict[str, Any]:
    """Own values as they will be; only those of a type know an empty one."""
    held = shape.values_of(draft.record)
    return merged(current=held, changes=draft.own) if shape.type is None else {**held, **draft.own}


def _announce(
    batch: Batch, created: Sequence[Any], fields: Sequence[str], before: Mapping[int, Mapping[str, Any]]
) -> int:
    model, team, new = batch.shape.model, batch.shape.team, [row.pk for row in created]
    if not batch.announce:
        hooks.announce_quiet(model=model, ids=new, team=team)
        return 0
    enrolled = hooks.announce_created(model=model, ids=new, team=team)
    hooks.announce_updated(model=model, ids=list(before), team=team, fields=fields, before=before)
    return enrolled
