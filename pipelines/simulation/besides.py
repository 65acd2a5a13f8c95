"""What comes to a contact beside what its runs will send: mails that ask for a confirmation, and messages in doubt."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q

from contacts.models import Contact
from crm.confirming import confirmation_subject
from crm.models import Message, Subscription, Topic
from crm.suppression import in_words, suppressed
from pipelines.models import PipelineRun, PipelineStep
from pipelines.simulation.expected import DEPENDS, SENT, SKIPPED, reaches
from pipelines.simulation.standing import addresses_of
from pipelines.subjects import subject_types

MOST = 100


def besides(contact: Contact, *, begins: datetime, until: datetime) -> list[dict[str, Any]]:
    """Items of a calendar, in no order; six statements at most."""
    return [*_confirmations(contact, begins, until), *_in_doubt(contact, begins)]


def _confirmations(contact: Contact, begins: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """Mails that wait to ask whether a topic is wanted: no run sends them."""
    team, address = contact.team, contact.email.strip().lower()
    waiting = Subscription.objects.filter(
        team=team, address=address, state=Subscription.State.PENDING, mail_at__lte=until
    )
    rows = list(waiting.order_by("mail_at", "pk")) if address else []
    if not rows:
        return
    topics = {topic.key: topic for topic in Topic.objects.filter(team=team, key__in={row.topic for row in rows})}
    stopped = suppressed(team_id=team.pk, addresses=[address], topic="").get(address, "")
    for row in rows:
        topic = topics.get(row.topic)
        if topic is not None and row.mail_at is not None:
            asks = f"Asks whether “{topic.name}” is wanted: nothing of it comes before that is confirmed."
            yield _item(
                at=max(row.mail_at, begins), verdict=SKIPPED if stopped else SENT,
                rule="suppression" if stopped else "", channel="email",
                sentence=f"Not sent: the recipient {in_words(stopped)}." if stopped else asks,
                subject=confirmation_subject(topic=topic, team=team),
            )  # fmt: skip


def _in_doubt(contact: Contact, begins: datetime) -> Iterator[dict[str, Any]]:
    """Messages of which nobody knows whether they arrived, until a person decides."""
    addresses = addresses_of(contact)
    kind = subject_types()["contacts.contact"].content_type_id
    mine = Q(about_type_id=kind, about_id=contact.pk) | Q(
        recipient__in=addresses | {each.lower() for each in addresses}
    )
    found = Message.objects.filter(mine, team=contact.team, state=Message.State.UNCERTAIN, decided_at=None)
    messages = [each for each in found.order_by("-pk")[:MOST] if reaches(each, contact)]
    runs, steps = _places(messages)
    for message in messages:
        run, step = runs.get(message.run_id or 0), steps.get(message.step_id or 0)
        yield _item(
            at=begins, verdict=DEPENDS, rule="uncertain", channel=message.channel, due_at=message.created_at,
            sentence="Perhaps it has arrived. A person decides whether it is sent once more.",
            subject=message.subject or " ".join(message.text.split())[:120],
            pipeline=run.pipeline.key if run else "", pipeline_name=run.pipeline.name if run else "",
            run=(run.root_id or run.pk) if run else None, visit=message.run_seq or 0,
            step=step.key if step else "", step_name=(step.name or step.key) if step else "",
        )  # fmt: skip


def _places(messages: Sequence[Message]) -> tuple[dict[int, PipelineRun], dict[int, PipelineStep]]:
    if not messages:
        return {}, {}
    runs = PipelineRun.objects.select_related("pipeline").in_bulk([each.run_id or 0 for each in messages])
    return runs, PipelineStep.objects.in_bulk([each.step_id or 0 for each in messages])


def _item(**more: Any) -> dict[str, Any]:
    return {
        "kind": "message", "due_at": more["at"], "until": None, "pipeline": "", "pipeline_name": "", "step": "",
        "step_name": "", "visit": 0, "run": None, "why": [], "depends_on": [],
        **more,
    }  # fmt: skip
