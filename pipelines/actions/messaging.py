"""Steps that send messages to people."""

from collections.abc import Mapping, Sequence
from typing import Any

from crm.channels.email import html_to_text, valid_address
from crm.channels.inlining import inline_css
from crm.mail_links import PLACES
from pipelines.actions.base import (
    Await,
    Done,
    EffectRequest,
    Fail,
    Input,
    Kind,
    MessageDraft,
    Outcome,
    message_text,
    text_template,
)
from pipelines.actions.sending import WINDOW
from pipelines.definition.program import Step
from pipelines.definition.templates import TemplateError
from pipelines.definition.values import ParameterError

_TEXT = {"type": "string"}


class SendEmail(Kind):
    """One email to one recipient, at most once."""

    code = "send_email"
    reads_of_subject = frozenset({"email"})
    label = "Send email"
    description = "Sends an email through the configured mail server."
    icon = "mail"
    group = "Messages"
    effects = True
    at_most_once = True
    outcomes = ("next", "skipped", "uncertain", "error")
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "template": {
                **_TEXT,
                "title": "Template",
                "description": "Key of a message template; or write it below.",
                "x-widget": "message_template",
                "pattern": "^[a-z0-9_-]{1,60}$",
            },
            "to": {"title": "To", "description": "Empty is the email of the subject.", "x-widget": "template"},
            "subject": {**_TEXT, "title": "Subject", "x-widget": "template", "maxLength": 1000},
            "text": {
                "x-advanced": True,
                **_TEXT,
                "title": "Text",
                "description": "Empty uses the message of the step.",
                "x-widget": "textarea",
            },
            "html": {
                "x-advanced": True,
                **_TEXT,
                "title": "HTML",
                "description": "Optional HTML part.",
                "x-widget": "html",
            },
            "from": {"x-advanced": True, **_TEXT, "title": "From", "description": "Empty is the sender of the team."},
            "reply_to": {"x-advanced": True, **_TEXT, "title": "Reply to", "x-widget": "template"},
            "topic": {
                "x-advanced": True,
                **_TEXT,
                "title": "Topic",
                "description": "What one can unsubscribe from; marketing by default, "
                "transactional for mail that cannot be unsubscribed.",
                "x-widget": "topic",
                "pattern": "^[a-z0-9_-]{0,60}$",
            },
            "window": WINDOW,
            "tracking": {
                "x-advanced": True,
                **_TEXT,
                "title": "Tracking",
                "description": "Opens and clicks of this mail; empty is what the team chose.",
                "enum": ["", "on", "off"],
            },
            "variables": {
                "x-advanced": True,
                "type": "object",
                "title": "Variables",
                "description": "Extra names for the template.",
                "x-widget": "fields",
            },
            "attachments": {
                "x-advanced": True,
                "type": "array",
                "title": "Attachments",
                "description": 'Files of the team, such as [{"file": "intro.pdf"}], below attachments/<team>/.',
                "x-widget": "json",
                "items": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {"file": _TEXT, "name": _TEXT},
                },
            },
            "headers": {
                "x-advanced": True,
                "type": "object",
                "title": "Headers",
                "x-widget": "fields",
                "additionalProperties": _TEXT,
            },
        },
    }

    def template_keys(self, step: Step) -> tuple[str, ...]:
        key = step.raw.get("template")
        return (key,) if isinstance(key, str) and key else ()

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            # Their values stand for links that only the message of this reader gets, as it leaves.
            visit = visit._replace(context={**PLACES, **visit.context})
            params = step.params.evaluate(visit.context)
            draft = _draft(step, params, visit)
        except (ParameterError, TemplateError) as error:
            return Fail(str(error), code="expression")
        except LookupError as error:
            return Fail(str(error.args[0]), code="validation")
        if not draft.recipient:
            return Done("skipped", note="Not sent: there is no email address.")
        if not valid_address(draft.recipient):
            return Fail("The email address is not valid.", code="validation")
        once = step.delivery != "at_least_once"
        return Await(EffectRequest("email", message=draft, at_most_once=once))


def _draft(step: Step, params: Mapping[str, Any], visit: Input) -> MessageDraft:
    subject, text, html, topic = _content(step, params, visit)
    recipient = params.get("to") or (visit.subject or {}).get("email") or ""
    if isinstance(recipient, list):
        recipient = recipient[0] if recipient else ""
    return MessageDraft(
        recipient=str(recipient).strip(),
        subject=" ".join(subject.split())[:500],
        text=text if text.strip() else html_to_text(html),
        html=inline_css(html),
        sender=str(params.get("from") or ""),
        reply_to=str(params.get("reply_to") or ""),
        topic=topic,
        tracking=str(params.get("tracking") or ""),
        attachments=tuple(params.get("attachments") or ()),
        headers={str(name): str(value) for name, value in (params.get("headers") or {}).items()},
    )


def _content(step: Step, params: Mapping[str, Any], visit: Input) -> tuple[str, str, str, str]:
    topic = str(params.get("topic") or "marketing")
    if not params.get("template"):
        text = str(params.get("text") or message_text(step, visit.context))
        subject = str(params.get("subject") or step.name or text.strip().split("\n")[0])
        html = text_template(str(step.raw.get("html") or ""), html=True).render(visit.context)
        return subject, text, html, "" if topic == "transactional" else topic
    template = visit.resources.template(str(params["template"]))
    if template is None:
        raise LookupError(f"There is no message template {params['template']!r} in this team.")
    context = {**visit.context, **(params.get("variables") or {})}
    subject = str(params.get("subject") or template.subject.render(context))
    topic = str(params.get("topic") or template.topic or "")
    return (
        subject,
        template.text.render(context),
        template.html.render(context),
        "" if topic == "transactional" else topic,
    )
