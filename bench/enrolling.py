"""Enrollment: contacts that exist go into three pipelines at once, and what the observer adds to saving one."""

import time
from collections.abc import Callable, Sequence
from statistics import median

from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import post_save

from bench import floors
from bench.scene import NOW, add_contacts, add_pipeline, analyze, new_team
from bench.table import Row, show
from contacts.models import Contact
from crm.models import Team
from pipelines.engine.automatic import enroll_created
from pipelines.engine.clock import pretend
from pipelines.models import Pipeline, PipelineRun
from pipelines.subjects import subject_types
from pipelines.triggers.observers import on_saved

PIPELINES = 3
BATCH = 1_000


def measure_enrolling(*, contacts: int, rounds: int) -> str:
    ways: Sequence[tuple[str, Callable[[Team, list[int]], None]]] = (
        ("floor: the same rows by psycopg, arrays of 1,000", _by_hand),
        ("the engine's batch", _by_batch),
        ("one insert after the other with the ORM", _row_by_row),
    )
    rates: dict[str, list[float]] = {name: [] for name, _ in ways}
    for _ in range(rounds):
        for name, work in ways:
            size = contacts if work is not _row_by_row else max(500, contacts // 50)
            rates[name].append(_rate(work, size))
    rows = [Row(name, found) for name, found in rates.items()]
    return show(f"## Enrolling {contacts:,} contacts in {PIPELINES} pipelines", rows, unit="runs/s")


def _rate(work: Callable[[Team, list[int]], None], size: int) -> float:
    team = new_team()
    # Before there is a pipeline, so that nobody enters yet.
    ids = [pk for start in range(0, size, 10_000) for pk in add_contacts(team, min(10_000, size - start))]
    for number in range(PIPELINES):
        add_pipeline(team, key=f"p{number}")
    analyze()
    started = time.perf_counter()
    work(team, ids)
    elapsed = time.perf_counter() - started
    assert PipelineRun.objects.for_team(team).count() == size * PIPELINES
    return size * PIPELINES / elapsed


def _by_batch(team: Team, ids: list[int]) -> None:
    kind = subject_types()["contacts.contact"]
    with pretend(NOW):
        for start in range(0, len(ids), BATCH):
            enroll_created(kind=kind, ids=ids[start : start + BATCH], team_id=team.pk)


def _by_hand(team: Team, ids: list[int]) -> None:
    floors.enroll_all(contacts=ids, ways=_ways(team), subject_type_id=_contact_type(), now=NOW)


def _row_by_row(team: Team, ids: list[int]) -> None:
    ways = _ways(team)
    for pk in ids:
        contact = Contact.objects.get(pk=pk)
        for pipeline_id, version_id, trigger_id, step_id in ways:
            PipelineRun.objects.create(
                pipeline_id=pipeline_id, version_id=version_id, trigger_id=trigger_id, step_id=step_id,
                subject_type_id=_contact_type(), subject_id=contact.pk, next_step_at=NOW, created_at=NOW,
            )  # fmt: skip


def _contact_type() -> int:
    return ContentType.objects.get_for_model(Contact).pk


def _ways(team: Team) -> list[tuple[int, int, int, int]]:
    """(pipeline, version, trigger, first step) of each way in."""
    pipelines = team_pipelines(team)
    return [
        (
            pipeline.pk,
            pipeline.current_version_id or 0,
            pipeline.triggers.get().pk,
            pipeline.steps.order_by("number")[0].pk,
        )
        for pipeline in pipelines
    ]


def team_pipelines(team: Team) -> list[Pipeline]:
    return list(Pipeline.objects.for_team(team).order_by("pk"))


def measure_saving(*, contacts: int, rounds: int) -> str:
    """What saving one contact costs, without the observer, with it and no pipeline, and with three."""
    rates: dict[str, list[float]] = {"saving alone": [], "with the observer, no pipeline": [], "entering three": []}
    for _ in range(rounds):
        for name, found in rates.items():
            found.append(_saving(name, contacts))
    rows = [Row(name, found) for name, found in rates.items()]
    alone, _, three = (1 / median(row.rates) for row in rows)
    table = show(f"## Saving {contacts:,} contacts one by one", rows, unit="contacts/s")
    return f"{table}\nEntering three pipelines adds {(three - alone) / alone:.2f} times the cost of saving alone.\n"


def _saving(name: str, size: int) -> float:
    team = new_team()
    if name == "entering three":
        for number in range(PIPELINES):
            add_pipeline(team, key=f"p{number}")
    if name == "saving alone":
        post_save.disconnect(sender=Contact, dispatch_uid="enroll:contacts.contact")
    started = time.perf_counter()
    for number in range(size):
        Contact.objects.create(team=team, first_name=f"C{number}", email=f"c{number}@x.example")
    elapsed = time.perf_counter() - started
    if name == "saving alone":
        post_save.connect(on_saved, sender=Contact, dispatch_uid="enroll:contacts.contact")
    expected = size * PIPELINES if name == "entering three" else 0
    assert PipelineRun.objects.for_team(team).count() == expected
    return size / elapsed
