"""The live runs of one contact as they stand, read with everything they may look at on their way."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import F, Model, Q

from contacts.models import Contact, Tag
from crm.channels.letters import e164
from crm.models import Device, Integration, Message, OptIn, Subscription, Team, Topic
from crm.suppression import kept_rows
from pipelines.definition.pacing import parse_caps
from pipelines.engine.circuits import KEPT, NEVER
from pipelines.engine.pacing import about_people
from pipelines.engine.programs import BROKEN
from pipelines.engine.ways import INACTIVE
from pipelines.models import (
    Effect,
    EngineState,
    Event,
    EventWait,
    GoalHit,
    HumanTask,
    Pipeline,
    PipelineRun,
    PipelineStep,
    PipelineVersion,
    Quiet,
    RunContext,
    SendingRules,
    StepCircuit,
    StepExecution,
    Trigger,
)
from pipelines.simulation.world import World, follow, named_pipelines, read_groups, read_searched
from pipelines.states import RunStatus
from pipelines.subjects import SubjectType, subject_type, subject_types

MAX_RUNS: Final = 50
MAX_PIPELINES: Final = 100
MAX_ENDED: Final = 500
MAX_INSIDE: Final = 2_000
MAX_VISITS: Final = 5_000
MAX_EVENTS: Final = 1_000
MAX_MESSAGES: Final = 2_000
MAX_RECORDS: Final = 200
MAX_LEVELS: Final = 8
# What somebody does, or a step does, may start more; schedules and new records have nothing to do with this contact.
FOLLOWED: Final = (Trigger.Kind.UPDATED, Trigger.Kind.EVENT, Trigger.Kind.SEGMENT)
UNDER_WAY: Final = (Effect.Status.QUEUED, Effect.Status.LEASED, Effect.Status.SENDING)
REPEATED: Final = (RunStatus.FAILED, RunStatus.CANCELLED)
NOT_SENT: Final = (Message.State.QUEUED, Message.State.SENDING)


@dataclass(slots=True)
class Standing:
    """What was read: the rows, the live runs of the contact, and the messages that wait to be sent."""

    world: World
    contact: Contact
    roots: list[PipelineRun] = field(default_factory=list)
    queued: frozenset[int] = frozenset()


def read_standing(*, team: Team, contact: Contact, now: datetime) -> Standing:
    """Everything the runs of a contact look at; the statements do not grow with the runs."""
    world = World(team)
    world.read_team()
    world.add([contact])
    follow(world, [contact])
    found = Standing(world, contact, _read_runs(world, contact))
    if PipelineRun not in world.rows:
        return found
    _read_pipelines(world)
    _read_subjects(world)
    read_searched(world)
    read_groups(world)
    _read_tags(world, contact)
    _read_obligations(world, now)
    _tell_of_circuits(world)
    _read_events(world, contact)
    _read_consent(world)
    found.queued = _read_messages(world, contact, now)
    return found


def _may_come_again(run: PipelineRun) -> bool:
    return run.parent_id is not None and run.status in REPEATED


def ids(world: World, model: type[Model]) -> list[int]:
    """Keys of the rows of a model that were read."""
    return list(world.rows.get(model, ()))


def rows(world: World, model: Any) -> list[Any]:
    """Rows of a model that were read."""
    return list(world.rows.get(model, {}).values())


def _read_runs(world: World, contact: Contact) -> list[PipelineRun]:
    """The live runs of a contact and of the records that belong to it, with all that goes on inside them."""
    mine = PipelineRun.objects.for_team(world.team).real().filter(_about(contact))
    live = list(mine.filter(finished_at=None).order_by("-pk").values_list("pk", "root_id")[: MAX_RUNS * 4])
    wanted = list(dict.fromkeys(root or pk for pk, root in live))
    if len(wanted) > MAX_RUNS:
        world.warnings.append(f"The newest {MAX_RUNS} of this contact's runs are played.")
    roots = list(PipelineRun.objects.filter(pk__in=wanted[:MAX_RUNS], finished_at=None).select_related("pipeline"))
    if roots:
        world.add(roots)
        # Who was in a pipeline once may not enter it again.
        world.add(mine.exclude(finished_at=None).exclude(dedup=None).order_by("-pk")[:MAX_ENDED])
        _read_inside(world, roots)
    _read_left_behind(world, mine.filter(finished_at=None).exclude(parent=None))
    # A message may still wait for its time when its run is over.
    waiting = Message.objects.for_team(world.team).filter(about_people(_to(contact)), state__in=NOT_SENT)
    behind = {pk for pk in waiting.order_by("-pk").values_list("run_id", flat=True)[:MAX_MESSAGES] if pk is not None}
    left = PipelineRun.objects.filter(pk__in=behind - set(ids(world, PipelineRun)))
    if behind:
        world.add(left.exclude(finished_at=None))
    return sorted(roots, key=lambda run: run.pk)


def _about(contact: Contact) -> Q:
    """Runs about the contact, and about records that name it, such as its deals."""
    kinds = subject_types()
    found = Q(subject_type_id=kinds["contacts.contact"].content_type_id, subject_id=contact.pk)
    for kind in kinds.values():
        for column in kind.model._meta.concrete_fields:
            if column.related_model is Contact:
                named = kind.model._default_manager.filter(**{column.name: contact}).order_by("-pk")
                pks = list(named.values_list("pk", flat=True)[:MAX_RECORDS])
                found |= Q(subject_type_id=kind.content_type_id, subject_id__in=pks) if pks else Q()
    return found


def _read_inside(world: World, roots: Iterable[PipelineRun]) -> None:
    """Branches, rounds and called pipelines of the visit that each run is at; a statement for each level.

    What failed inside may be tried again, with what failed inside of it.
    """
    level = [run.pk for run in roots]
    for _ in range(MAX_LEVELS):
        inside = PipelineRun.objects.filter(parent_id__in=level, parent_seq=F("parent__seq")).order_by("pk")
        found: Any = world.add(inside[:MAX_INSIDE])
        level = [run.pk for run in found if run.finished_at is None or run.status in REPEATED]
        if not level:
            return


def _read_left_behind(world: World, inner: Any) -> None:
    """Branches and rounds that go on although their block is over, with what is around them; a statement each level."""
    fresh: Any = world.add(inner.order_by("-pk")[:MAX_INSIDE])
    for _ in range(MAX_LEVELS):
        around = {run.parent_id for run in fresh if run.parent_id is not None} - set(ids(world, PipelineRun))
        if not around:
            return
        fresh = world.add(PipelineRun.objects.filter(pk__in=around))


def _read_pipelines(world: World) -> None:
    """The pipelines of the runs, those that events may start, and those that steps of any of them name."""
    runs = rows(world, PipelineRun)
    started = Pipeline.objects.filter(team=world.team, status=Pipeline.Status.ACTIVE)
    started = started.filter(triggers__in=_open_ways()).distinct().order_by("-pk")
    first = Q(pk__in={run.pipeline_id for run in runs}) | Q(
        pk__in=list(started.values_list("pk", flat=True))[:MAX_PIPELINES]
    )
    fresh: Any = world.add(Pipeline.objects.filter(first))
    versions = {run.version_id for run in runs}
    for _ in range(MAX_LEVELS):
        current = {pipeline.current_version_id for pipeline in fresh if pipeline.current_version_id is not None}
        read: Any = world.add(PipelineVersion.objects.filter(pk__in=current | versions))
        names = {name for version in read for name in named_pipelines(version.document)}
        names -= {pipeline.key for pipeline in rows(world, Pipeline)}
        if not names:
            break
        versions, fresh = set(), world.add(Pipeline.objects.filter(team=world.team, key__in=names))
    mine = ids(world, Pipeline)
    world.add(PipelineStep.objects.filter(pipeline__in=mine))
    world.add(Trigger.objects.filter(pipeline__in=mine))


def _open_ways() -> Any:
    """Triggers that something which happens to a contact may fire; silence is told by another clock."""
    return Trigger.objects.filter(enabled=True, kind__in=FOLLOWED).exclude(event=INACTIVE)


def keep_open_ways() -> None:
    """In the database in memory: only those triggers stay open."""
    closed = Trigger.objects.exclude(pk__in=_open_ways().values("pk")).exclude(kind=Trigger.Kind.MANUAL)
    closed.update(enabled=False)


def _read_subjects(world: World) -> None:
    """The records that the runs are about, with what they point to; a statement for each kind."""
    wanted: dict[int, set[int]] = {}
    for run in rows(world, PipelineRun):
        if run.subject_type_id is not None and run.subject_id is not None:
            wanted.setdefault(run.subject_type_id, set()).add(run.subject_id)
    for type_id, pks in wanted.items():
        kind: SubjectType = subject_type(type_id)
        follow(world, world.add(kind.model._default_manager.filter(pk__in=pks, team=world.team)))


def _read_tags(world: World, contact: Contact) -> None:
    through: Any = Contact.tags.through
    world.add(through.objects.filter(contact=contact))
    world.add(Tag.objects.filter(contacts=contact))


def _read_obligations(world: World, now: datetime) -> None:
    """What the runs remember, what they wait for, and what they have asked for."""
    runs = ids(world, PipelineRun)
    live = [run.pk for run in rows(world, PipelineRun) if run.finished_at is None or _may_come_again(run)]
    world.add(RunContext.objects.filter(run_id__in=runs))
    world.add(StepExecution.objects.filter(run_id__in=live).order_by("-id")[:MAX_VISITS])
    world.add(EventWait.objects.filter(run_id__in=live, seq=F("run__seq")))
    tasks: Any = world.add(HumanTask.objects.filter(run_id__in=live, seq=F("run__seq")).select_related("task"))
    world.add(row.task for row in tasks)
    world.add(GoalHit.objects.filter(run_id__in=runs))
    answered = Q(run_id__in=live, seq=F("run__seq"))
    effects: Any = world.add(Effect.objects.filter(answered | Q(run_id__in=runs, status__in=UNDER_WAY)))
    for effect in effects:
        # What a worker has in its hands at this moment is as good as sent.
        if effect.status in UNDER_WAY:
            effect.status, effect.lease_until, effect.worker = Effect.Status.QUEUED, None, None
        # There is no circuit in the play that would ever let it go.
        effect.available_at = now if effect.available_at >= NEVER else effect.available_at


def _tell_of_circuits(world: World) -> None:
    broken = StepCircuit.objects.filter(pk__in={run.step_id for run in rows(world, PipelineRun)}, state__in=BROKEN)
    for circuit in broken.select_related("step").order_by("pk"):
        name = circuit.step.name or circuit.step.key
        world.warnings.append(f"“{name}” fails for too many at the moment: it is played as if it worked.")


def _read_events(world: World, contact: Contact) -> None:
    """What happened to the contact lately: waits and rules look back, and some of it is still in the inbox."""
    kind = subject_types()["contacts.contact"].content_type_id
    events = Event.objects.filter(team=world.team, subject_type_id=kind, subject_id=contact.pk)
    world.add(events.order_by("-occurred_at")[:MAX_EVENTS])
    triggers = ids(world, Trigger)
    world.add(Quiet.objects.filter(trigger_id__in=triggers, subject_type_id=kind, subject_id=contact.pk))


def _read_consent(world: World) -> None:
    """What the people among the records said about being written to, and the channels that ask for it."""
    team = world.team
    integrations: Any = list(Integration.objects.filter(team=team))
    for row in integrations:
        row.secrets = ""
    world.add(integrations)
    kinds = {kind.content_type_id: ids(world, kind.model) for kind in subject_types().values()}
    about = Q()
    for type_id, pks in kinds.items():
        about |= Q(about_type_id=type_id, about_id__in=pks) if pks else Q()
    devices: Any = world.add(Device.objects.filter(about, team=team).order_by("-pk")[:MAX_RECORDS])
    countries = {str((row.options or {}).get("country") or "") for row in integrations} | {""}
    found = {device.token for device in devices}
    for each in (row for kind in subject_types().values() for row in rows(world, kind.model)):
        found |= addresses_of(each, countries)
    lower = {address.lower() for address in found}
    world.add(kept_rows(team_id=team.pk, addresses=lower))
    world.add(Topic.objects.filter(team=team))
    subscriptions: Any = world.add(Subscription.objects.filter(team=team, address__in=lower))
    for row in subscriptions:
        row.mail_at = None
    world.add(OptIn.objects.filter(team=team, address__in=found))


def addresses_of(record: Any, countries: Collection[str] = ("",)) -> set[str]:
    """Where a record is reached, numbers with and without the country of a provider."""
    email, phone = str(getattr(record, "email", "") or "").strip(), str(getattr(record, "phone", "") or "").strip()
    numbers = {e164(phone, country=country) for country in countries} if phone else set()
    custom = getattr(record, "custom", None) or {}
    token = custom.get("device_token")
    return {email, phone, *numbers, token if isinstance(token, str) else ""} - {""}


def _read_messages(world: World, contact: Contact, now: datetime) -> frozenset[int]:
    """Messages of the runs that have not left, and what the contact got within the longest cap; ids of the former."""
    runs = ids(world, PipelineRun)
    waiting: Any = world.add(Message.objects.filter(run_id__in=runs, state__in=NOT_SENT).order_by("-pk")[:MAX_MESSAGES])
    for message in waiting:
        message.state = Message.State.QUEUED
        message.held_by = "" if message.held_by == KEPT else message.held_by
    caps = [cap for rules in rows(world, SendingRules) for cap in parse_caps(rules.caps)]
    if caps:
        since = now - timedelta(seconds=max(cap.seconds for cap in caps))
        lately = Q(sent_at__gt=since) | Q(
            state__in=(Message.State.SENDING, Message.State.UNCERTAIN), created_at__gt=since
        )
        theirs = Message.objects.filter(about_people(_to(contact)), lately).order_by("-pk")
        world.add(theirs[:MAX_MESSAGES])
    world.add(EngineState.objects.filter(name__startswith=f"pace:{world.team.pk}:"))
    return frozenset(message.pk for message in waiting)


def _to(contact: Contact) -> list[Message]:
    """Stand-ins for messages to each address of a contact."""
    kind = subject_types()["contacts.contact"].content_type_id
    reached = addresses_of(contact) or {""}
    about = {"team_id": contact.team_id, "about_type_id": kind, "about_id": contact.pk}
    return [Message(recipient=address, **about) for address in sorted(reached)]
