"""What a simulation needs of the real database: read there, then put into the one in memory."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS, models

from contacts.models import FieldDefinition, Record, RecordType, Segment, SegmentChange, SegmentMembership
from crm.models import Member, MessageTemplate, OptIn, Secret, Subscription, Suppression, Team, Topic
from crm.suppression import kept_rows
from pipelines.definition.layout import every_place, subject_model
from pipelines.documents import apply_document
from pipelines.models import Pipeline, PipelineStep, PipelineVersion, SendingRules, Trigger
from pipelines.operations import publish
from pipelines.simulation.scenario import ScenarioError
from pipelines.subjects import OWN, SubjectType, subject_named, subject_types

MAX_SUPPRESSIONS = 5_000
MAX_SEARCHED = 5_000
# SQLite takes at most 32,766 parameters in one statement.
MAX_PARAMETERS = 30_000
# Apps whose records are copied along when a copied record points to them.
FOLLOWED = frozenset({"contacts", "auth"})


@dataclass(slots=True)
class World:
    """Rows of the real database by model, in the order in which they were found."""

    team: Team
    rows: dict[type[models.Model], dict[int, models.Model]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, rows: Iterable[models.Model]) -> list[models.Model]:
        """Keep rows; those that are new."""
        fresh = []
        for row in rows:
            kept = self.rows.setdefault(type(row), {})
            if row.pk not in kept:
                kept[row.pk] = row
                fresh.append(row)
        return fresh

    def read_team(self) -> None:
        """The team, its members and secrets without passwords and values, its templates and its rules of sending."""
        self.add(ContentType.objects.all())
        self.add([self.team])
        members = list(Member.objects.filter(team=self.team).select_related("user"))
        self.add(members)
        self.add(_without_passwords(member.user for member in members))
        self.add(MessageTemplate.objects.filter(team=self.team))
        self.add(_without_values(Secret.objects.filter(team=self.team)))
        self.add(SendingRules.objects.filter(team=self.team))

    def settle(self) -> None:
        """Write everything into the database that is now the default one, exactly as it was."""
        for model, found in self.rows.items():
            insert(model, list(found.values()))


def insert(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert rows as they are: no signal, no hook, no time of creation made up."""
    fields = model._meta.concrete_fields
    size = MAX_PARAMETERS // len(fields)
    for start in range(0, len(rows), size):
        chunk: Any = rows[start : start + size]
        manager: Any = model._base_manager
        manager._insert(chunk, fields=fields, using=DEFAULT_DB_ALIAS, raw=True)


def read_world(
    *, team: Team, document: Mapping[str, Any], subject_ids: Collection[int], beside: Sequence[Mapping[str, Any]] = ()
) -> World:
    """Everything of the team that steps of this document may look at; raises ScenarioError for unknown subjects.

    Steps of documents `beside` look at it, too.

    The number of statements depends on the kinds of records, not on how many there are.
    """
    world = World(team)
    world.read_team()
    _read_pipelines(world, document, beside)
    _read_subjects(world, document, subject_ids)
    read_searched(world, [document, *beside])
    read_groups(world)
    _read_suppressions(world)
    return world


def subject_kind(document: Mapping[str, Any]) -> SubjectType | None:
    """What the pipeline of a checked document is about."""
    model = subject_model(document)
    return None if model is None else subject_named(model)


def _without_passwords(users: Iterable[User]) -> Iterator[User]:
    for user in users:
        user.password = ""
        yield user


def _without_values(secrets: Iterable[Secret]) -> Iterator[Secret]:
    for secret in secrets:
        secret.sealed = ""
        yield secret


def _read_pipelines(world: World, document: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> None:
    """The pipeline itself, so that its steps keep their identity, and those that it starts, as they are published."""
    own = str(document["key"])
    waiting, seen = {own} | named_pipelines([document, *beside]), set[str]()
    while waiting:
        seen |= waiting
        found = list(Pipeline.objects.filter(team=world.team, key__in=waiting).select_related("current_version"))
        world.add(found)
        world.add(PipelineStep.objects.filter(pipeline__in=found))
        others = [each for each in found if each.key != own]
        versions = [each.current_version for each in others if each.current_version is not None]
        world.add(versions)
        waiting = {name for version in versions for name in named_pipelines(version.document)} - seen


def named_pipelines(value: Any) -> set[str]:
    """Keys of pipelines that steps of a document name, however deep they stand."""
    found: set[str] = set()
    if isinstance(value, Mapping):
        name = value.get("pipeline")
        if isinstance(name, str):
            found.add(name)
        for item in value.values():
            found |= named_pipelines(item)
    elif isinstance(value, list):
        for item in value:
            found |= named_pipelines(item)
    return found


def _read_subjects(world: World, document: Mapping[str, Any], ids: Collection[int]) -> None:
    if not ids:
        return
    kind = subject_kind(document)
    if kind is None:
        raise ScenarioError("subject", "this pipeline is about no record: leave the subject out")
    rows = list(kind.records(world.team.pk).filter(pk__in=ids))
    missing = sorted(set(ids) - {row.pk for row in rows})
    if missing:
        raise ScenarioError("subject", f"there is no {kind.name} {missing[0]} in this team")
    follow(world, world.add(rows))


def read_searched(world: World, documents: Sequence[Mapping[str, Any]] = ()) -> None:
    """Records that steps look for: all of the kind, up to a number that is said when it does not reach."""
    versions = [version.document for version in world.rows.get(PipelineVersion, {}).values()]  # type: ignore[attr-defined]
    for model in sorted({name for each in (*documents, *versions) for name in _searched(each)}):
        known = subject_types().get(model)
        rows: Any = Record._default_manager.filter(type__key=model.removeprefix(OWN))
        if known is not None:
            rows = known.model._default_manager.all()
        found = list(rows.filter(team=world.team).order_by("-pk")[: MAX_SEARCHED + 1])
        if len(found) > MAX_SEARCHED:
            words = f"Steps that look for {model} see the newest {MAX_SEARCHED:,} in a simulation."
            world.warnings.append(words)
        follow(world, world.add(found[:MAX_SEARCHED]))


def _searched(document: Mapping[str, Any]) -> set[str]:
    """Kinds of records that steps of a document look for."""
    found = [place.step.get("with") or {} for place in every_place(document) if place.step["type"] == "find_records"]
    return {str(given.get("model", "")) for given in found}


def follow(world: World, rows: Sequence[models.Model]) -> None:
    """Records that records point to, one statement per kind and distance."""
    while rows:
        wanted: dict[type[models.Model], set[int]] = {}
        for row in rows:
            for column in row._meta.concrete_fields:
                related: Any = column.related_model
                value = getattr(row, column.attname)
                if related and related._meta.app_label in FOLLOWED and value is not None:
                    wanted.setdefault(related, set()).add(value)
        rows = []
        for model, ids in wanted.items():
            missing = ids - world.rows.get(model, {}).keys()
            if missing:
                found: Any = model._default_manager.filter(pk__in=missing)
                rows += world.add(_without_passwords(found) if model is User else found)


def read_groups(world: World) -> None:
    """Segments with their members among what was read, and the fields and types of records that the team defines."""
    world.add(Segment.objects.filter(team=world.team))
    world.add(RecordType.objects.filter(team=world.team))
    world.add(FieldDefinition.objects.filter(team=world.team))
    kinds = [kind.content_type_id for kind in subject_types().values() if kind.model in world.rows]
    ids = {pk for kind in subject_types().values() for pk in world.rows.get(kind.model, ())}
    if ids:
        members = SegmentMembership.objects.filter(segment__team=world.team, subject_type__in=kinds, subject_id__in=ids)
        world.add(members)


def _read_suppressions(world: World) -> None:
    addresses = {
        str(address).strip().lower()
        for found in world.rows.values()
        for row in found.values()
        if (address := getattr(row, "email", ""))
    }
    # Those of erased people name the address only to who asks for it.
    world.add(kept_rows(team_id=world.team.pk, addresses=addresses))
    # Steps also write to addresses that stand in no record we read.
    world.add(Suppression.objects.filter(team=world.team).order_by("-pk")[:MAX_SUPPRESSIONS])
    world.add(Topic.objects.filter(team=world.team))
    asked = Subscription.objects.filter(team=world.team)
    world.add(asked.filter(address__in=addresses))
    world.add(asked.order_by("-pk")[:MAX_SUPPRESSIONS])
    # Who said no gets nothing here either; who said nothing is taken to agree, for samples cannot.
    world.add(OptIn.objects.filter(team=world.team).order_by("-pk")[:MAX_SUPPRESSIONS])


def keep_segments() -> None:
    """Who was read is in the segments that the real database has them in; what changes from now on is followed."""
    Segment.objects.update(look_at=None)
    SegmentChange.objects.all().delete()


def install(*, world: World, document: Mapping[str, Any]) -> tuple[Pipeline, dict[str, Trigger]]:
    """Publish the document in the database in memory, with the engine's own compiler; its triggers by key.

    No trigger fires by itself there: a simulation enrolls who it is about. Those by hand never do.
    """
    pipeline = Pipeline.objects.filter(team=world.team, key=document["key"]).first()
    if pipeline is None:
        pipeline = Pipeline(team=world.team)
    pipeline.status, pipeline.current_version, pipeline.enrolled_total = Pipeline.Status.DRAFT, None, 0
    if pipeline.pk is not None:
        pipeline.save()
    apply_document(pipeline, document)
    version: PipelineVersion = publish(pipeline=pipeline, note="simulation", force=True)
    Trigger.objects.exclude(kind=Trigger.Kind.MANUAL).update(enabled=False)
    keep_segments()
    Pipeline.objects.filter(pk=pipeline.pk).update(status=Pipeline.Status.ACTIVE, current_version=version)
    pipeline.refresh_from_db()
    return pipeline, {trigger.key: trigger for trigger in pipeline.triggers.order_by("position", "id")}
