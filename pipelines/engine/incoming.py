"""Works off what incoming webhooks stored: each post finds or makes its subject, which enters the pipeline."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction

from contacts.models import Contact
from contacts.operations import create_contact
from contacts.queries import with_email
from crm.consent import Act, subscribe
from crm.faults import point, register
from pipelines.definition.values import ParameterError, compile_value
from pipelines.engine.enroll import NotEnrollable, enroll
from pipelines.engine.filling import held
from pipelines.engine.plain import plain
from pipelines.engine.unheard import commit_unheard
from pipelines.models import Hook, HookDelivery, Trigger

log = logging.getLogger(__name__)

LIMIT = 1_000
# Without an expression of its own a webhook is about whoever has this address.
DEFAULT_SUBJECT = "{{ trigger.email }}"

register("in_delivery", "what a webhook brought has entered, nothing is committed", in_transaction=True)


class Unusable(Exception):
    """What was posted names nobody; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a post."""

    outcome: str
    run_id: int | None = None


def work_off(*, now: datetime) -> int:
    """Take in what was posted, oldest first; the number of runs that came of it."""
    runs = 0
    for _ in range(LIMIT):
        taken = _next(now)
        if taken is None:
            break
        runs += taken.run_id is not None
    return runs


def _next(now: datetime) -> Taken | None:
    """One post in one transaction, so that a bad one stops no other; None when there is none left."""
    with transaction.atomic():
        rows = HookDelivery.objects.filter(state=HookDelivery.State.RECEIVED).order_by("pk")
        if connection.vendor == "postgresql":
            rows = rows.select_for_update(skip_locked=True, of=("self",))
        # The post was let in: what lets somebody post is not read here, and the role of workers may not.
        rows = rows.select_related("hook__trigger__pipeline__team").defer("hook__token_hash", "hook__secret")
        delivery = rows.first()
        if delivery is None:
            return None
        state = HookDelivery.State.DONE
        try:
            with transaction.atomic():
                taken = take_in(delivery, now=now)
        except (OperationalError, InterfaceError):
            raise
        except (Unusable, NotEnrollable, ParameterError) as error:
            taken, state = Taken(str(error)), HookDelivery.State.FAILED
        except ValidationError as error:
            taken, state = Taken("; ".join(error.messages)), HookDelivery.State.FAILED
        except Exception as error:  # one post that breaks something must not keep the others waiting
            log.exception("delivery %s could not be taken in", delivery.pk)
            taken, state = Taken(f"{type(error).__name__}: this could not be taken in."), HookDelivery.State.FAILED
        HookDelivery.objects.filter(pk=delivery.pk).update(
            state=state, outcome=taken.outcome[:400], run_id=taken.run_id, finished_at=now
        )
        point("in_delivery", then=commit_unheard)
    return taken


def take_in(delivery: HookDelivery, *, now: datetime) -> Taken:
    """Find or make the subject of a post and enroll it, in the caller's transaction.

    Raises Unusable, NotEnrollable, ParameterError or ValidationError with a sentence for people.
    """
    hook, trigger = delivery.hook, delivery.hook.trigger
    if not trigger.enabled:
        raise NotEnrollable("The webhook trigger of this pipeline is switched off.")
    left_out: dict[str, str] = {}
    subject_id = _subject(hook, trigger, delivery.body, now, left_out)
    taken = _entered(delivery, trigger, subject_id, now)
    if not left_out:
        return taken
    reasons = " ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
    return Taken(f"{taken.outcome}; left out {reasons}", taken.run_id)


def _entered(delivery: HookDelivery, trigger: Trigger, subject_id: int | None, now: datetime) -> Taken:
    entered = enroll(
        pipeline=trigger.pipeline,
        subject_ids=[subject_id],
        trigger=trigger,
        payload=delivery.body,
        idempotency_key=f"hook:{delivery.hook_id}:{delivery.message_id}",
        now=now,
    )
    if entered.enrolled:
        return Taken("entered", entered.enrolled[0])
    decision = entered.decisions.get(subject_id)
    return Taken(f"did not enter: {decision[1]}" if decision else "did not enter: already in the pipeline")


def _subject(hook: Hook, trigger: Trigger, body: Any, now: datetime, left_out: dict[str, str]) -> int | None:
    """The id of the record that a post is about; None for pipelines without a subject.

    What a new contact could not be given is added to `left_out`, with the reason.
    """
    pipeline = trigger.pipeline
    if pipeline.subject_type is None:
        return None
    value = compile_value(trigger.subject_expression or DEFAULT_SUBJECT).evaluate({"trigger": body, "now": now})
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    if "@" in text and pipeline.subject_type.model_class() is Contact:
        contact = _contact(hook, body, text, now, left_out)
        if hook.topic:
            # Where the topic asks for it, a confirmation mail leaves and nothing else before it was answered.
            act = Act(now, f"webhook {hook.name}"[:60], wording=str(body.get("consent") or "")[:5_000])
            subscribe(team_id=hook.team_id, address=text, topic=hook.topic, act=act)
        return contact
    wanted = trigger.subject_expression or DEFAULT_SUBJECT
    raise Unusable(f"{wanted} is neither the id of a record nor an email address here.")


def _alone_with(address: str, team_id: int) -> None:
    """Two workers that look for one new address at the same moment would both make a contact; SQLite has one writer."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [address.lower(), team_id])


def _contact(hook: Hook, body: Any, address: str, now: datetime, left_out: dict[str, str]) -> int:
    _alone_with(address, hook.team_id)
    known = with_email(team=hook.team, emails=[address]).order_by("pk").values_list("pk", flat=True).first()
    if known is not None:
        return known
    values = {"lead_source": hook.name[:60], **(hook.fields or {})}
    found = compile_value(values).evaluate({"trigger": body, "now": now})
    filled = {name: plain(value) for name, value in found.items() if value not in (None, "")}
    values = held(team_id=hook.team_id, filled=filled, left_out=left_out)
    return _made(hook, {**values, "email": address}, left_out)


def _made(hook: Hook, values: dict[str, Any], left_out: dict[str, str]) -> int:
    """A new contact; what a field cannot hold is left out, so that nobody is lost for a telephone number too long."""
    try:
        return create_contact(team=hook.team, values=values).pk
    except ValidationError as error:
        unfit = error.message_dict if hasattr(error, "error_dict") else {}
        if not unfit or "email" in unfit or not unfit.keys() <= values.keys():
            raise
        left_out |= {name: " ".join(messages) for name, messages in unfit.items()}
    return create_contact(team=hook.team, values={name: values[name] for name in values.keys() - unfit.keys()}).pk
