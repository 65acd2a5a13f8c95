"""Steps that send SMS, push and WhatsApp messages, and messages to the team's own chat."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crm.channels.letters import device_token, phone_number
from crm.channels.whatsapp import APPROVED
from pipelines.actions.base import (
    Await,
    Done,
    EffectRequest,
    Fail,
    Fault,
    Input,
    Kind,
    MessageDraft,
    Outcome,
    message_text,
)
from pipelines.actions.sending import WINDOW
from pipelines.definition.program import Step
from pipelines.definition.templates import TemplateError
from pipelines.definition.values import ParameterError

LONGEST_TEXT = 4_000
MOST_DEVICES = 20
_TEXT = {"type": "string"}
_TEMPLATE = {
    **_TEXT,
    "title": "Template",
    "description": "Key of a message template, whose text is used unless the step has one of its own.",
    "x-widget": "message_template",
    "pattern": "^[a-z0-9_-]{1,60}$",
}
_VARIABLES = {
    "x-advanced": True,
    "type": "object",
    "title": "Variables",
    "description": "Extra names for the template.",
    "x-widget": "fields",
}
_TOPIC = {
    "x-advanced": True,
    **_TEXT,
    "title": "Topic",
    "description": "What one can unsubscribe from; the name of the channel by default, "
    "transactional for messages that cannot be unsubscribed.",
    "x-widget": "topic",
    "pattern": "^[a-z0-9_-]{0,60}$",
}


class _Letter(Kind):
    """What all letters share: a recipient, a text of their own or of a template, and a topic."""

    channel = ""
    group = "Messages"
    effects = True
    at_most_once = True
    outcomes = ("next", "skipped", "uncertain", "error")
    missing = ""
    # What the record calls its address, and how people call it.
    field = "phone"
    address = "phone number"

    def template_keys(self, step: Step) -> tuple[str, ...]:
        key = step.raw.get("template")
        return (key,) if isinstance(key, str) and key else ()

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        given = step.get("with", {})
        if not any(given.get(name) for name in ("template", "text", "body", APPROVED)) and not step.get("message"):
            yield ("message",), "the message is empty: write one or name a template"

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            title, text, topic = self._content(step, params, visit)
        except (ParameterError, TemplateError) as error:
            return Fail(str(error), code="expression")
        except LookupError as error:
            return Fail(str(error.args[0]), code="validation")
        given = _given(params.get("to") or (visit.subject or {}).get(self.field))
        if not given:
            return Done("skipped", note=f"Not sent: there is no {self.address}.")
        to = self.usable(given)
        if not to:
            return Fail(self.missing, code="validation")
        if not text.strip() or len(text) > LONGEST_TEXT:
            sentence = f"The text is longer than {LONGEST_TEXT:,} characters." if text.strip() else "The text is empty."
            return Fail(sentence, code="validation")
        draft = MessageDraft(
            recipient=to[0], also=to[1:], channel=self.channel, subject=title, text=text, html="", topic=topic,
            sender=str(params.get("from") or "")[:320], data=self.data(params),
        )  # fmt: skip
        return Await(EffectRequest(self.channel, message=draft, at_most_once=step.delivery != "at_least_once"))

    def data(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """What goes along with the text."""
        return params.get("data") or {}

    def usable(self, given: Sequence[Any]) -> tuple[str, ...]:
        """Where the letter goes; empty when nothing of what was given can be used."""
        number = phone_number(str(given[0]))
        return (number,) if number else ()

    def _content(self, step: Step, params: Mapping[str, Any], visit: Input) -> tuple[str, str, str]:
        topic = str(params.get("topic") or self.channel)
        title = " ".join(str(params.get("title") or "").split())[:500]
        own = str(params.get("text") or params.get("body") or "")
        if not params.get("template"):
            return title, own or message_text(step, visit.context), "" if topic == "transactional" else topic
        template = visit.resources.template(str(params["template"]))
        if template is None:
            raise LookupError(f"There is no message template {params['template']!r} in this team.")
        context = {**visit.context, **(params.get("variables") or {})}
        title = title or (template.subject.render(context) if self.channel == "push" else "")
        # The words of the step stand before those of its template, as its title does.
        return title, own or template.text.render(context), "" if topic == "transactional" else topic


def _given(to: Any) -> list[Any]:
    """What a step was given to send to, without what is empty."""
    each = to if isinstance(to, list | tuple) else [to]
    return [one for one in each if one is not None and str(one).strip()]


_PROPERTIES: dict[str, Any] = {
    "to": {"title": "To", "description": "Empty is the phone of the subject.", "x-widget": "template"},
    "text": {
        **_TEXT,
        "title": "Text",
        "description": "Empty uses the message of the step.",
        "x-widget": "textarea",
    },
    "template": _TEMPLATE,
    "variables": _VARIABLES,
    "topic": _TOPIC,
    "window": WINDOW,
    "from": {"x-advanced": True, **_TEXT, "title": "From", "description": "Empty is the default sender."},
}


class SendSms(_Letter):
    """One SMS to one number, at most once."""

    code = "send_sms"
    channel = "sms"
    label = "Send SMS"
    description = "Sends an SMS to the phone number of the subject."
    icon = "sms"
    missing = "This contact has no phone number that can get an SMS."
    schema = {"type": "object", "additionalProperties": False, "properties": _PROPERTIES}


class SendWhatsapp(_Letter):
    """One WhatsApp message to one number, at most once."""

    code = "send_whatsapp"
    channel = "whatsapp"
    label = "Send WhatsApp message"
    description = "Sends a WhatsApp message to the phone number of the subject."
    icon = "chat"
    missing = "This contact has no phone number that can get a WhatsApp message."
    schema = {
        **SendSms.schema,
        "properties": {
            **_PROPERTIES,
            APPROVED: {
                "x-advanced": True,
                "type": "object",
                "title": "Approved template",
                "description": "A template as WhatsApp approved it, which alone may begin a conversation: "
                '{"name": "order_update", "language": "en", "parameters": ["{{ contact.first_name }}"]}.',
                "x-widget": "json",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": _TEXT, "language": _TEXT, "parameters": {"type": "array"}},
            },
        },
    }

    def data(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {APPROVED: params[APPROVED]} if params.get(APPROVED) else {}

    def _content(self, step: Step, params: Mapping[str, Any], visit: Input) -> tuple[str, str, str]:
        title, text, topic = super()._content(step, params, visit)
        approved = params.get(APPROVED)
        if approved and not text.strip():
            # What stands in the record of the message; WhatsApp keeps the words themselves.
            values = ", ".join(str(each) for each in approved.get("parameters") or ())
            text = f"Template {approved['name']}" + (f": {values}" if values else "")
        return title, text[:LONGEST_TEXT], topic


class SendPush(_Letter):
    """One push message to the devices of one person, at most once."""

    code = "send_push"
    channel = "push"
    label = "Send push message"
    description = "Sends a push message to the devices of the subject."
    icon = "notifications_active"
    missing = "This contact has no device that can get a push message."
    field = "device_token"
    address = "device"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "to": {
                "title": "To",
                "description": "Tokens of devices with commas between them; empty is device_token of the subject.",
                "x-widget": "words",
            },
            "title": {**_TEXT, "title": "Title", "x-widget": "template", "maxLength": 500},
            "body": {
                **_TEXT,
                "title": "Text",
                "description": "Empty uses the message of the step.",
                "x-widget": "textarea",
            },
            "template": _TEMPLATE,
            "variables": _VARIABLES,
            "data": {
                "x-advanced": True,
                "type": "object",
                "title": "Data",
                "description": "What the app gets along with the message.",
                "x-widget": "fields",
            },
            "topic": _TOPIC,
            "window": WINDOW,
        },
    }

    def usable(self, given: Sequence[Any]) -> tuple[str, ...]:
        tokens = [device_token(token) for token in given if isinstance(token, str)]
        return tuple(dict.fromkeys(token for token in tokens if token))[:MOST_DEVICES]


class SendChat(_Letter):
    """One message to the room of the team's own people."""

    code = "send_chat"
    channel = "chat"
    label = "Write to the team's chat"
    description = "Posts a message to the Slack or Teams room of the team."
    icon = "forum"
    group = "People"
    missing = "There is no chat."
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "title": {**_TEXT, "title": "Title", "x-widget": "template", "maxLength": 500},
            "text": {
                **_TEXT,
                "title": "Text",
                "description": "Empty uses the message of the step.",
                "x-widget": "textarea",
            },
        },
    }

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            title, text, _ = self._content(step, params, visit)
        except (ParameterError, TemplateError) as error:
            return Fail(str(error), code="expression")
        if not text.strip():
            return Fail("The text is empty.", code="validation")
        # The team's own people cannot unsubscribe from their room, so there is no topic and nothing keeps it.
        draft = MessageDraft(
            recipient=self.channel, channel=self.channel, subject=title, text=text[:LONGEST_TEXT], html="", topic=""
        )
        return Await(EffectRequest(self.channel, message=draft, at_most_once=step.delivery != "at_least_once"))
