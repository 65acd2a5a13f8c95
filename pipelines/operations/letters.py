"""A message template as one person would get it: rendered, with what is missing, and sent to its author to look at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import formataddr
from typing import Any

from contacts.models import Contact
from crm.channels.base import Delivered, Refused
from crm.channels.email import Mailer, html_to_text, valid_address
from crm.channels.inlining import inline_css
from crm.letter_checks import letter_warnings
from crm.mail_links import PLACES
from crm.models import Message, MessageTemplate, Team
from crm.suppression import WORDS, suppressed
from pipelines.definition.templates import Template, TemplateError
from pipelines.engine.post import built, content_of
from pipelines.engine.resources import CompiledTemplate, compiled_template
from pipelines.subjects import subject_types

# What every pipeline gives its messages; other names come from its variables and steps.
_GIVEN = frozenset({"contact", "subject", "team", "now", "vars", "trigger", "steps", "run", "pipeline", *PLACES})


class NotSent(Exception):
    """The test was not sent; the sentence says why."""


@dataclass(frozen=True, slots=True)
class LetterPreview:
    """One message as it would leave, and sentences about what is likely to be wrong with it."""

    subject: str
    text: str
    html: str
    warnings: tuple[str, ...]


def preview_template(
    *, template: MessageTemplate, contact: Contact | None, now: datetime, to: str = ""
) -> LetterPreview:
    """The message for `contact`, with its footer; never raises for what an author wrote."""
    try:
        compiled = _compile(template)
        message = _message(template, compiled, _context(template.team, contact, now), to=to)
    except TemplateError as error:
        return LetterPreview("", "", "", (f"The template cannot be rendered: {error}",))
    content = content_of(message)
    warnings = letter_warnings(subject=message.subject, text=message.text, html=message.html, topic=template.topic)
    return LetterPreview(
        subject=content.subject,
        text=content.text,
        html=content.html,
        warnings=(*_missing(compiled, _context(template.team, contact, now), contact), *warnings),
    )


def send_test(*, template: MessageTemplate, contact: Contact | None, to: str, now: datetime) -> None:
    """Send the message to `to`, its author; raises NotSent. Nobody who is suppressed gets even this."""
    if not valid_address(to):
        raise NotSent("Your account has no email address: add one first.")
    reason = suppressed(team_id=template.team_id, addresses=[to], topic=template.topic).get(to.lower(), "")
    # An author looks at mail without subscribing to it.
    if reason and reason not in WORDS:
        raise NotSent(f"Your own address is on the suppression list ({reason}).")
    try:
        message = _message(template, _compile(template), _context(template.team, contact, now), to=to)
    except TemplateError as error:
        raise NotSent(f"The template cannot be rendered: {error}") from None
    message.subject = f"[Test] {message.subject}"[:500]
    mail = built(message)
    if isinstance(mail, Refused):
        raise NotSent(mail.detail)
    mailer = Mailer()
    refused = mailer.open()
    try:
        result = refused or next(iter(mailer.deliver([mail])))
    finally:
        mailer.close()
    if not isinstance(result, Delivered):
        raise NotSent(f"The mail server did not take it: {result.detail}")


def _compile(template: MessageTemplate) -> CompiledTemplate:
    return compiled_template(
        template.pk, template.updated_at, template.subject, template.text, template.html, template.topic,
        template.use_layout, template.team.mail_layout,
    )  # fmt: skip


def _context(team: Team, contact: Contact | None, now: datetime) -> dict[str, Any]:
    """The names of a message that belong to no pipeline in particular."""
    about: Mapping[str, Any] | None = None
    if contact is not None:
        about = subject_types()["contacts.contact"].load([contact.pk])[contact.pk]
    facts = {"id": team.pk, "name": team.name, "timezone": team.timezone}
    return {**PLACES, "team": facts, "now": now, "subject": about, "contact": about}


def _message(template: MessageTemplate, compiled: CompiledTemplate, context: Mapping[str, Any], *, to: str) -> Message:
    """Not stored: what a step with this template would send."""
    team = template.team
    html = compiled.html.render(context)
    text = compiled.text.render(context)
    return Message(
        team=team,
        recipient=to or "somebody@example.org",
        sender=formataddr((team.sender_name, team.sender_email)) if team.sender_email else "",
        reply_to=team.reply_to,
        subject=" ".join(compiled.subject.render(context).split())[:500],
        text=text if text.strip() else html_to_text(html),
        html=inline_css(html),
        topic="" if template.topic == "transactional" else template.topic,
    )


def _missing(compiled: CompiledTemplate, context: Mapping[str, Any], contact: Contact | None) -> Iterator[str]:
    parts: tuple[Template, ...] = (compiled.subject, compiled.text, compiled.html)
    other = sorted({name for part in parts for name in part.names} - _GIVEN)
    if other:
        yield f"Only pipelines that bring {', '.join(other)} can use this: elsewhere these places stay empty."
    if contact is None:
        return
    empty = dict.fromkeys(path for part in parts for path in part.missing(context))
    mine = [path for path in empty if path.split(".")[0] in ("contact", "subject", "team")]
    if mine:
        yield f'Empty for this contact: {", ".join(mine)}. A filter such as | default: "there" fills the gap.'
