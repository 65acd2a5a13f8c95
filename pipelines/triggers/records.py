"""What contacts ask of pipelines through the registries of `contacts` and the signals of `crm`."""

from collections.abc import Sequence
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db.models import Model

from contacts import hooks, merging
from contacts.models import Contact
from crm.models import Message, Team
from crm.signals import message_decided
from pipelines.engine.automatic import enroll_created
from pipelines.engine.controls import send_again
from pipelines.engine.manual import live_pipelines, rehome_runs, sync_manual_runs
from pipelines.models import Pipeline
from pipelines.subjects import subject_types


def connect() -> None:
    """Register everything; called once when the apps are ready."""
    hooks.after_bulk_create.register(enroll_bulk)
    hooks.manual_pipelines.register(ManualPipelines())
    merging.register(move_runs)
    message_decided.connect(on_message_decided, dispatch_uid="pipelines:message-decided")


def enroll_bulk(model: type[Model], ids: Sequence[int], team: Team, /) -> int:
    """Records created in bulk, which no signal announces, enter like any others; the number of runs."""
    kind = subject_types().get(model._meta.label_lower)
    if kind is None:
        return 0
    return len(enroll_created(kind=kind, ids=ids, team_id=team.pk).enrolled)


def move_runs(keep: Contact, others: Sequence[Contact], /) -> None:
    """Runs of merged contacts go on for the one that stays."""
    rehome_runs(keep=keep, others=others)


class ManualPipelines:
    """The pipelines a person may choose on a record's form."""

    def choices(self, team: Team, model: type[Model]) -> Sequence[tuple[str, str, int]]:
        """Active pipelines of the team about this kind of record, by name."""
        rows = Pipeline.objects.for_team(team).filter(
            status=Pipeline.Status.ACTIVE,
            subject_type__app_label=model._meta.app_label,
            subject_type__model=model._meta.model_name,
        )
        return [(row.key, row.name, row.pk) for row in rows.order_by("name")]

    def current(self, subject: Model) -> Sequence[int]:
        return live_pipelines(subject)

    def sync(self, subject: Any, pipelines: Sequence[int], by: User | None) -> object:
        """Add the new ones, keep the running, end the rest."""
        rows = Pipeline.objects.for_team(subject.team).filter(pk__in=pipelines)
        return sync_manual_runs(subject=subject, pipelines=list(rows), by=by)


def on_message_decided(*, message: Message, decision: Literal["accept", "resend"], **_: Any) -> None:
    """A person settled an uncertain message: send it again, or let it be."""
    if decision == "resend":
        send_again(message=message)
