"""Effects of a batch become rows, with their messages, unless the recipient is suppressed."""

from email.utils import formataddr, parseaddr
from typing import Any

from django.conf import settings

from crm.message_ids import message_id
from crm.models import Message
from crm.suppression import in_words
from pipelines.actions.base import EffectRequest, MessageDraft
from pipelines.definition.program import Step
from pipelines.engine.batch import Batch
from pipelines.engine.cursor import Cursor
from pipelines.engine.in_flight import flight_of
from pipelines.engine.journal import visit_of
from pipelines.engine.kinds import KINDS
from pipelines.engine.moves import leave
from pipelines.engine.plain import plain
from pipelines.engine.programs import TeamFacts
from pipelines.models import Effect, StepExecution

Planned = tuple[Cursor, Step, EffectRequest]


def queue_effects(batch: Batch) -> None:
    """Insert the messages and effects of a batch; suppressed recipients are skipped with the reason."""
    if not batch.effects:
        return
    planned = _without_suppressed(batch)
    messages = [_message(batch, cursor, request.message) for cursor, _, request in planned if request.message]
    if batch.test:
        messages = [{**row, "state": Message.State.CAPTURED.value} for row in messages]
    ids = batch.store.create_rows(Message, messages) if messages else []
    by_visit = {(row["run_id"], row["run_seq"]): pk for row, pk in zip(messages, ids, strict=True)}
    effects = [_effect(batch, planned_one, by_visit) for planned_one in planned]
    if effects:
        batch.store.insert_effects(effects)
    _move_those_that_do_not_wait(batch, planned)


def _without_suppressed(batch: Batch) -> list[Planned]:
    groups: dict[tuple[int, str], set[str]] = {}
    for cursor, _, request in batch.effects:
        if request.message:
            team_id = batch.facts[cursor.pipeline_id].team.id
            groups.setdefault((team_id, request.message.topic), set()).add(request.message.recipient)
    reasons = {
        (team_id, topic): batch.store.suppressed(team_id=team_id, addresses=addresses, topic=topic)
        for (team_id, topic), addresses in groups.items()
    }
    kept: list[Planned] = []
    for cursor, step, request in batch.effects:
        reason = _reason(batch, cursor, request, reasons)
        if reason:
            _skip(batch, cursor, step, reason)
        else:
            kept.append((cursor, step, request))
    return kept


def _reason(
    batch: Batch, cursor: Cursor, request: EffectRequest, reasons: dict[tuple[int, str], dict[str, str]]
) -> str | None:
    if request.message is None:
        return None
    found = reasons[(batch.facts[cursor.pipeline_id].team.id, request.message.topic)]
    return found.get(request.message.recipient.lower())


def _skip(batch: Batch, cursor: Cursor, step: Step, reason: str) -> None:
    told = f"Not sent: the recipient {in_words(reason)}."
    batch.visits.append(visit_of(cursor, batch.now, StepExecution.Event.SKIPPED, "skipped", error=told))
    program = batch.programs[cursor.version_id].program
    leave(cursor, program=program, step=step, outcome="skipped", context=batch.context_of(cursor), now=batch.now)


def _message(batch: Batch, cursor: Cursor, draft: MessageDraft) -> dict[str, Any]:
    team = batch.facts[cursor.pipeline_id].team
    if draft.channel != "email":
        return _letter(batch, cursor, draft)
    sender = draft.sender or _sender(team)
    return {
        "team_id": team.id,
        "recipient": draft.recipient[:254],
        "sender": sender[:320],
        "reply_to": (draft.reply_to or team.reply_to)[:320],
        "subject": draft.subject,
        "text": draft.text,
        "html": draft.html,
        "attachments": [dict(item) for item in draft.attachments],
        "headers": dict(draft.headers),
        "topic": draft.topic,
        "tracking": draft.tracking,
        "message_id": message_id(run_id=cursor.id, seq=cursor.seq, n=0, domain=_domain(sender)),
        "about_type_id": cursor.subject_type_id,
        "about_id": cursor.subject_id,
        "run_id": cursor.id,
        "step_id": cursor.step_id,
        "run_seq": cursor.seq,
        "created_at": batch.now,
    }


def _letter(batch: Batch, cursor: Cursor, draft: MessageDraft) -> dict[str, Any]:
    """A message over another channel; the devices beside the first and the data travel in its headers."""
    return {
        "team_id": batch.facts[cursor.pipeline_id].team.id,
        "channel": draft.channel,
        "recipient": draft.recipient,
        "sender": draft.sender[:320],
        "subject": draft.subject,
        "text": draft.text,
        "headers": {"also": list(draft.also), "data": plain(draft.data)} if draft.also or draft.data else {},
        "topic": draft.topic,
        "about_type_id": cursor.subject_type_id,
        "about_id": cursor.subject_id,
        "run_id": cursor.id,
        "step_id": cursor.step_id,
        "run_seq": cursor.seq,
        "created_at": batch.now,
    }


def _sender(team: TeamFacts) -> str:
    if not team.sender_email:
        return settings.DEFAULT_FROM_EMAIL
    return formataddr((team.sender_name, team.sender_email))


def _domain(sender: str) -> str:
    return settings.MAIL_DOMAIN or parseaddr(sender)[1].rpartition("@")[2] or "localhost"


def _effect(batch: Batch, planned: Planned, messages: dict[tuple[int | None, int | None], int]) -> Effect:
    cursor, step, request = planned
    payload: Any
    if request.message:
        payload = {"message": messages[(cursor.id, cursor.seq)], **_timing(batch, cursor, step)}
    elif request.kind == "custom":
        payload = {"action": step.kind, "payload": plain(request.payload)}
    else:
        payload = plain(request.payload)
    if batch.test:
        return _tried(batch, cursor, request, payload)
    payload |= flight_of(batch.programs[cursor.version_id], cursor.pipeline_id)
    return Effect(
        run_id=cursor.id,
        seq=cursor.seq,
        n=0,
        kind=KINDS[request.kind].value,
        at_most_once=request.at_most_once or step.delivery == "at_most_once",
        available_at=batch.now,
        created_at=batch.now,
        payload=payload,
    )


def _tried(batch: Batch, cursor: Cursor, request: EffectRequest, payload: dict[str, Any]) -> Effect:
    """What a test run asks for: with the kind it would have, under one that nothing delivers."""
    return Effect(
        run_id=cursor.id,
        seq=cursor.seq,
        n=0,
        kind=Effect.Kind.TEST.value,
        available_at=batch.now,
        created_at=batch.now,
        payload={**payload, "kind": KINDS[request.kind].value},
    )


def _timing(batch: Batch, cursor: Cursor, step: Step) -> dict[str, Any]:
    """When this message may leave and how important it is, as far as the document says anything."""
    settings_of = batch.programs[cursor.version_id].program.settings
    window = step.raw.get("window") or settings_of.get("window")
    timing: dict[str, Any] = {"window": window} if window else {}
    if "priority" in settings_of:
        timing["priority"] = settings_of["priority"]
    return timing


def _move_those_that_do_not_wait(batch: Batch, planned: list[Planned]) -> None:
    """`await: queued` goes on at once; the effect flies on its own."""
    for cursor, step, _ in planned:
        if step.await_ != "queued":
            continue
        program = batch.programs[cursor.version_id].program
        leave(cursor, program=program, step=step, outcome="next", context=batch.context_of(cursor), now=batch.now)
