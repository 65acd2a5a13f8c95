"""Double opt-in: the mail that asks for a confirmation, and the page that takes it by a button, never by a visit."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import formataddr, parseaddr
from typing import Final

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.email import EmailContent, InvalidMessage, Mailer, build
from crm.consent import EXPIRES, Act, confirm
from crm.faults import point, register
from crm.message_ids import message_id
from crm.models import Message, Subscription, Team, Topic
from crm.models.consent import CONFIRM_SUBJECT, CONFIRM_TEXT, CONFIRM_URL
from crm.preferences import masked, private
from crm.sealing import link_token, link_values
from crm.suppression import suppressed

log = logging.getLogger(__name__)

# In one pass.
MOST: Final = 50
# After an outage of the mail server.
LATER: Final = timedelta(minutes=2)
LOST_AFTER: Final = timedelta(minutes=10)
# Stored messages hold this in place of the link, so that whoever may read messages cannot confirm for others.
PLACE: Final = "⟦confirm⟧"
HOW: Final = "confirmation link"
State = Message.State

register("after_confirmation_claim", "mails that ask for a confirmation are taken, none was handed over")
register("after_confirmation", "a mail that asks for a confirmation was handed over, nothing of it is written")


def confirm_url(row: Subscription) -> str:
    """The absolute address of the page that confirms this wish."""
    token = link_token("confirm", [row.pk, int(row.asked_at.timestamp())])
    return f"{settings.BASE_URL}{reverse('confirm', args=[token])}"


def _read(token: str) -> tuple[int, datetime] | None:
    values = link_values("confirm", token)
    if values is None:
        return None
    pk, asked = values
    return pk, datetime.fromtimestamp(asked, UTC)


# The link in the mail is the key; there is no cookie that another site could misuse.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_page(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, as programs open links too; POST confirms."""
    read = _read(token)
    row = Subscription.objects.filter(pk=read[0]).select_related("team").first() if read else None
    now = timezone.now()
    if read is None or row is None:
        return private(render(request, "crm/no_link.html", status=404))
    done = row.state == Subscription.State.ON
    if not done and now - read[1] >= EXPIRES:
        return private(render(request, "crm/confirm.html", {"old": True}, status=410))
    if request.method == "POST":
        done = confirm(subscription=row.pk, asked_at=read[1], act=Act(now, HOW))
    topic = Topic.objects.filter(team_id=row.team_id, key=row.topic).first()
    context = {"done": done, "team": row.team, "topic": topic or row.topic, "wording": row.wording}
    return private(render(request, "crm/confirm.html", {**context, "address": masked(row.address)}))


def send_confirmations(*, now: datetime) -> int:
    """Hand over the confirmation mails that wait, each at most once; how many left."""
    mailer = Mailer()
    if mailer.open() is not None:
        _put_off(now)
        return 0
    try:
        left = 0
        for _ in range(MOST):
            taken = _claim(now)
            if taken is None:
                break
            row, message = taken
            if message is not None and message.state == State.SENDING:
                point("after_confirmation_claim")
                result = _deliver(mailer, row, message)
                point("after_confirmation")
                _settle(message, result, now)
                left += 1
        return left
    finally:
        mailer.close()


def give_up_lost(*, now: datetime) -> int:
    """Mails that a worker was handing over when it ended: whoever asked may ask again, and nothing waits for them."""
    lost = Message.objects.filter(state=State.SENDING, run_id=None, created_at__lt=now - LOST_AFTER)
    return lost.update(state=State.FAILED, reason="interrupted", error="The worker ended while it was handed over.")


def _put_off(now: datetime) -> None:
    Subscription.objects.filter(mail_at__lte=now).update(mail_at=now + LATER)


@transaction.atomic
def _claim(now: datetime) -> tuple[Subscription, Message | None] | None:
    """The next wish, and the mail that asks, never sent a second time by itself; none where the topic is gone.

    One at a time, so that a worker that ends takes no more than one mail along.
    """
    due = Subscription.objects.filter(mail_at__lte=now, state=Subscription.State.PENDING).order_by("pk")
    row = due.select_for_update(skip_locked=True, of=("self",)).select_related("team").first()
    if row is None:
        return None
    Subscription.objects.filter(pk=row.pk).update(mail_at=None)
    topic = Topic.objects.filter(team_id=row.team_id, key=row.topic).first()
    if topic is None:
        return row, None
    # Who gets nothing at all gets no question either.
    stopped = suppressed(team_id=row.team_id, addresses=[row.address], topic="").get(row.address, "")
    message = _message(row, topic, now, stopped)
    message.save()
    return row, message


def _message(row: Subscription, topic: Topic, now: datetime, stopped: str) -> Message:
    team = row.team
    sender = formataddr((team.sender_name, team.sender_email)) if team.sender_email else settings.DEFAULT_FROM_EMAIL
    domain = settings.MAIL_DOMAIN or parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return Message(
        team=team,
        state=State.SKIPPED if stopped else State.SENDING,
        reason=stopped,
        recipient=row.address,
        sender=sender[:320],
        reply_to=team.reply_to[:320],
        subject=confirmation_subject(topic=topic, team=team),
        text=_filled(topic.confirm_text or CONFIRM_TEXT, topic, team),
        headers={"Auto-Submitted": "auto-generated"},
        message_id=message_id(run_id=0, seq=row.pk, n=int(now.timestamp()), domain=domain),
        attempts=1,
        created_at=now,
    )


def confirmation_subject(*, topic: Topic, team: Team) -> str:
    """What stands above the mail that asks whether a topic is wanted."""
    return " ".join(_filled(topic.confirm_subject or CONFIRM_SUBJECT, topic, team).split())[:500]


def _filled(text: str, topic: Topic, team: Team) -> str:
    text = text.replace("{{ topic }}", topic.name).replace("{{ team }}", team.name)
    return text.replace(CONFIRM_URL, PLACE)


def _deliver(mailer: Mailer, row: Subscription, message: Message) -> DeliveryResult:
    content = EmailContent(
        to=message.recipient,
        subject=message.subject,
        text=message.text.replace(PLACE, confirm_url(row)),
        from_email=message.sender,
        reply_to=message.reply_to,
        message_id=message.message_id,
        headers=message.headers,
    )
    try:
        return next(iter(mailer.deliver([build(content)])))
    except InvalidMessage as error:
        return Refused(code="validation", detail=str(error)[:400], permanent=True)


def _settle(message: Message, result: DeliveryResult, now: datetime) -> None:
    if isinstance(result, Delivered):
        message.state, message.sent_at = State.SENT, now
    else:
        message.state = State.UNCERTAIN if isinstance(result, Unknown) else State.FAILED
        message.error, message.reason = result.detail[:400], "" if isinstance(result, Unknown) else "refused"
    message.save(update_fields=["state", "sent_at", "error", "reason"])
