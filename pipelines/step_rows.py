"""Steps as rows: lists inside each other in a document, rows with a parent and a branch in the database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.db import models
from django.utils import timezone
from django.utils.text import slugify

from pipelines.definition.layout import Place, every_place, own_parameters
from pipelines.models import Pipeline, PipelineStep

LARGEST_DELAY: Final = 2**63 - 1

# Names of the document for columns that hold the same value; the rest is converted below.
STEP_COLUMNS: Final = {
    "name": "name",
    "type": "action_type",
    "message": "message",
    "if": "condition",
    "with": "data",
    "next": "next_key",
    "on": "edges",
    "retry": "retry",
    "timeout": "timeout",
    "set": "assign",
    "notes": "notes",
}
_DELIVERY: Final = {
    "at_least_once": PipelineStep.Delivery.AT_LEAST_ONCE,
    "at_most_once": PipelineStep.Delivery.AT_MOST_ONCE,
}
_Lists = defaultdict[int | None, list[PipelineStep]]
_AWAIT: Final = {"done": PipelineStep.Await.DONE, "queued": PipelineStep.Await.QUEUED}


def steps_of(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The steps as the document says them, those inside blocks where they belong; one statement."""
    return told(pipeline.steps.filter(archived_at=None).order_by("number", "id"))


def told(rows: Iterable[PipelineStep]) -> list[dict[str, Any]]:
    """Rows of one pipeline, in the order of their numbers, as its document says them."""
    lists: _Lists = defaultdict(list)
    for row in rows:
        lists[row.parent_id].append(row)
    return [_told(row, lists) for row in lists[None]]


def apply_steps(pipeline: Pipeline, document: Mapping[str, Any]) -> None:
    """Make the rows say what the steps of a checked document say.

    They are matched by key wherever they stand, so a step that moves into or out of a branch keeps
    its id. A step that was ever published is archived when it vanishes, because runs point to it.
    """
    existing = {step.key: step for step in pipeline.steps.all()}
    rows: dict[str, PipelineStep] = {}
    for places in _by_depth(every_place(document)):
        new: list[PipelineStep] = []
        for place in places:
            row = existing.get(place.key) or PipelineStep(pipeline=pipeline, key=place.key)
            rows[place.key] = row
            before = None if row.pk is None or row.archived_at else _standing(row)
            fill_step(row, place)
            row.parent, row.branch, row.archived_at = rows.get(place.parent or ""), place.branch, None
            if row.pk is None:
                new.append(row)
            elif _standing(row) != before:
                row.save()
        PipelineStep.objects.bulk_create(new)
    _retire(pipeline, [row for row in existing.values() if row.key not in rows])


def name_steps(steps: Sequence[PipelineStep], *, taken: set[str]) -> None:
    """Give keys to rows made without one, from their number, or else from name and action."""
    for step in steps:
        if step.key:
            continue
        key = f"step_{step.number}"
        if key in taken:
            words = slugify(step.name or step.action_type).replace("-", "_").strip("_")
            key = _free(f"{words or 'step'}"[:30], taken)
        step.key = key if key[0].isalpha() else f"step_{key}"[:40]
        taken.add(step.key)


def with_inside(pipeline: Pipeline, step_ids: Sequence[int]) -> list[int]:
    """The ids of steps and of every live step inside them."""
    pairs = list(pipeline.steps.filter(archived_at=None).values_list("pk", "parent_id"))
    found = list(step_ids)
    for pk in found:
        found.extend(inner for inner, parent in pairs if parent == pk and inner not in found)
    return found


def identities(pipeline: Pipeline, steps: Mapping[str, str]) -> dict[str, int]:
    """The lasting id of each step, given keys with names.

    Steps that only stand in the program, such as the forks made of edges, get a row put aside.
    """
    rows = pipeline.steps.filter(models.Q(archived_at=None) | models.Q(key__in=list(steps)))
    found = dict(rows.values_list("key", "id"))
    missing = [key for key in steps if key not in found]
    if missing:
        now = timezone.now()
        made = PipelineStep.objects.bulk_create(
            PipelineStep(
                pipeline=pipeline, key=key, name=steps[key], action_type="parallel", number=-position, archived_at=now
            )
            for position, key in enumerate(missing, start=1)
        )
        pipeline.steps.filter(pk__in=[row.pk for row in made]).update(number=-models.F("id"))
        found |= {row.key: row.pk for row in made}
    return found


def outline(rows: Sequence[PipelineStep], parent: int | None = None, depth: int = 0) -> list[tuple[int, PipelineStep]]:
    """The rows under a step, or all, in the order they read, each with how deep it stands."""
    found: list[tuple[int, PipelineStep]] = []
    direct = [row for row in rows if row.parent_id == parent]
    for row in sorted(direct, key=lambda each: (each.archived_at is not None, each.branch, each.number)):
        found.append((depth, row))
        found.extend(outline(rows, row.pk, depth + 1))
    return found


def step_values(step: PipelineStep) -> dict[str, Any]:
    """One step as the document says it, defaults included."""
    found = given(step, STEP_COLUMNS)
    found |= {"number": step.number, "key": step.key or f"step_{step.number}"}
    found["delay"] = step.delay if step.delay_rule is None else step.delay_rule
    found["await"] = PipelineStep.Await(step.await_mode).name.lower()
    if step.delivery != PipelineStep.Delivery.DEFAULT:
        found["delivery"] = PipelineStep.Delivery(step.delivery).name.lower()
    if step.x is not None and step.y is not None:
        found["position"] = [_whole(step.x), _whole(step.y)]
    return found


def fill_step(step: PipelineStep, place: Place) -> None:
    """Copy a step of a document into a row, unsaved."""
    values = place.step
    step.number = place.number
    for name, column in STEP_COLUMNS.items():
        setattr(step, column, values.get(name, default_of(PipelineStep, column)))
    step.data = own_parameters(values)
    delay = values.get("delay", 0)
    plain = isinstance(delay, int) and not isinstance(delay, bool) and delay <= LARGEST_DELAY
    step.delay, step.delay_rule = (delay, None) if plain else (0, delay)
    step.delivery = _DELIVERY.get(values.get("delivery", ""), PipelineStep.Delivery.DEFAULT)
    step.await_mode = _AWAIT.get(values.get("await", "done"), PipelineStep.Await.DONE)
    step.x, step.y = values.get("position", (None, None))


def given(row: models.Model, columns: Mapping[str, str]) -> dict[str, Any]:
    """What the columns of a row hold, by the names of the document; what is empty is left out."""
    values = {name: getattr(row, column) for name, column in columns.items()}
    return {name: value for name, value in values.items() if value is not None and value != ""}


def default_of(model: type[models.Model], column: str) -> Any:
    """What a column holds when nothing is said."""
    field: Any = model._meta.get_field(column)
    return field.get_default()


def _told(row: PipelineStep, lists: _Lists) -> dict[str, Any]:
    values = step_values(row)
    parameters = values.get("with")
    if row.action_type == "loop" and isinstance(parameters, Mapping):
        values["with"] = {**parameters, "steps": [_told(each, lists) for each in lists[row.pk]]}
    elif row.action_type == "parallel" and isinstance(parameters, Mapping):
        values["with"] = {**parameters, "branches": _branches(row, parameters.get("branches"), lists)}
    return values


def _branches(row: PipelineStep, given: object, lists: _Lists) -> list[Any]:
    """The branches with their steps; steps of a branch that was struck from the row are not lost."""
    branches = list(given) if isinstance(given, list) else []
    named = {branch.get("name") for branch in branches if isinstance(branch, Mapping)}
    lost = dict.fromkeys(each.branch for each in lists[row.pk] if each.branch not in named)
    return [
        {**branch, "steps": [_told(each, lists) for each in lists[row.pk] if each.branch == branch.get("name")]}
        if isinstance(branch, Mapping)
        else branch
        for branch in [*branches, *({"name": name} for name in lost)]
    ]


def _by_depth(found: Sequence[Place]) -> list[list[Place]]:
    """Places by how many blocks stand around them, so that parents are saved before children."""
    levels: dict[int, list[Place]] = defaultdict(list)
    for place in found:
        levels[place.at.count("with")].append(place)
    return [levels[depth] for depth in sorted(levels)]


def _standing(row: PipelineStep) -> tuple[Any, ...]:
    """All that an edit may change of a row."""
    return (row.parent_id, row.branch, step_values(row))


def _retire(pipeline: Pipeline, steps: Sequence[PipelineStep]) -> None:
    """Archive what was ever published and delete the rest."""
    steps = [step for step in steps if step.archived_at is None]
    if not steps:
        return
    published = _published_keys(pipeline)
    archive_steps(pipeline, [step.pk for step in steps if step.key in published])
    pipeline.steps.filter(pk__in=[step.pk for step in steps if step.key not in published]).delete()


def archive_steps(pipeline: Pipeline, step_ids: Sequence[int]) -> None:
    """Put rows aside that runs and logs point to, out of any block."""
    rows = pipeline.steps.filter(pk__in=step_ids)
    rows.update(number=-models.F("id"), archived_at=timezone.now(), parent=None, branch="")


def _published_keys(pipeline: Pipeline) -> set[str]:
    documents = pipeline.versions.values_list("document", flat=True)
    return {place.key for document in documents.iterator() for place in every_place(document)}


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _free(stem: str, taken: set[str]) -> str:
    number = 1
    while (key := stem if number == 1 else f"{stem}_{number}") in taken:
        number += 1
    return key
