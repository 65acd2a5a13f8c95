"""Records that steps create: inserted while the batch is being worked, so that later steps know their ids."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps

from contacts import hooks
from contacts.models import Record
from crm.models import Team
from pipelines.actions.base import Create, Done, Fail, Input, Outcome
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.plain import plain
from pipelines.subjects import OWN, subject_types

Made = tuple[int, int, Create]


def make_records(
    batch: Batch, entering: Sequence[tuple[Cursor, Input]], outcomes: Sequence[Outcome]
) -> Sequence[Outcome]:
    """Insert the records that these visits create, a statement per model, and put their ids into the outputs."""
    wanted: list[Made] = [
        (index, visit.team_id, change)
        for index, ((_, visit), outcome) in enumerate(zip(entering, outcomes, strict=True))
        if isinstance(outcome, Done)
        for change in outcome.changes
        if isinstance(change, Create) and is_record(change.model)
    ]
    if not wanted:
        return outcomes
    found = list(outcomes)
    for label in dict.fromkeys(change.model for _, _, change in wanted):
        several = [made for made in wanted if made[2].model == label]
        if label.startswith(OWN):
            _make_own(batch, several, found)
        else:
            _make(batch, label, several, found)
    return found


def is_record(model: str) -> bool:
    """Whether a change creates a record, and not a task or a note."""
    return model.startswith(OWN) or model in subject_types()


def _make_own(batch: Batch, several: Sequence[Made], outcomes: list[Outcome]) -> None:
    rows = [
        {
            "team_id": team_id,
            "type_id": change.values["type_id"],
            "values": plain(change.values["values"]),
            "created_at": batch.now,
            "updated_at": batch.now,
        }
        for _, team_id, change in several
    ]
    _tell(outcomes, several, batch.store.create_rows(Record, rows))


def _make(batch: Batch, label: str, several: Sequence[Made], outcomes: list[Outcome]) -> None:
    model: Any = apps.get_model(label)
    several = _with_own_relations(batch, model, several, outcomes)
    if not several:
        return
    rows = [
        {
            **{model._meta.get_field(name).attname: value for name, value in change.values["columns"].items()},
            "custom": plain(change.values["custom"]),
            "team_id": team_id,
            "created_at": batch.now,
            "updated_at": batch.now,
        }
        for _, team_id, change in several
    ]
    ids = batch.store.create_rows(model, rows)
    _tell(outcomes, several, ids)
    by_team: dict[int, list[int]] = {}
    for (_, team_id, _), pk in zip(several, ids, strict=True):
        by_team.setdefault(team_id, []).append(pk)
    # What follows from a new record follows from this one too, one circle deeper than the run that made it.
    for team_id, made in by_team.items():
        hooks.announce_created(model=model, ids=made, team=Team(pk=team_id))


def _with_own_relations(batch: Batch, model: Any, several: Sequence[Made], outcomes: list[Outcome]) -> list[Made]:
    """Those whose relations are of their team; the others fail with a sentence."""
    names = [field.name for field in model._meta.concrete_fields if field.is_relation and field.name != "team"]
    kept = list(several)
    for name in names:
        given = [(made, made[2].values["columns"].get(name)) for made in kept]
        pairs = {(made[1], value) for made, value in given if value is not None}
        if not pairs:
            continue
        known = batch.store.in_team(model._meta.get_field(name).related_model, [value for _, value in pairs])
        for made, value in given:
            if value is not None and (made[1], value) not in known:
                outcomes[made[0]] = Fail(f"{name}: there is no such record in this team.", code="validation")
                kept.remove(made)
    return kept


def _tell(outcomes: list[Outcome], several: Sequence[Made], ids: Sequence[int]) -> None:
    for (index, _, change), pk in zip(several, ids, strict=True):
        outcome = outcomes[index]
        if isinstance(outcome, Done):
            rest = tuple(each for each in outcome.changes if each is not change)
            outcomes[index] = outcome._replace(output={**(outcome.output or {}), "id": pk}, changes=rest)
