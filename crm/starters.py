"""Message templates a new team begins with: the words of common pipelines, to be changed by the team."""

from dataclasses import dataclass
from typing import Final

from django.utils.html import linebreaks

from crm.models import MessageTemplate, Team


@dataclass(frozen=True, slots=True)
class Starter:
    """One template: key, name, subject and text."""

    key: str
    name: str
    subject: str
    text: str


GREETING: Final = 'Hello {{ subject.first_name | default: "there" }},'


# Where the pipeline is about a deal, whose contact is written to.
GREETING_OF_A_DEAL: Final = 'Hello {{ subject.contact.first_name | default: "there" }},'


def _starter(key: str, name: str, subject: str, *paragraphs: str, greeting: str = GREETING) -> Starter:
    return Starter(key, name, subject, "\n\n".join([greeting, *paragraphs, "Kind regards\n{{ team.name }}"]))


STARTERS: Final = (
    _starter(
        "welcome_email",
        "Welcome",
        "Welcome to {{ team.name }}",
        "good to have you here. Reply to this message whenever you have a question: a person reads it.",
    ),
    _starter(
        "getting_started",
        "Getting started",
        "Three steps to get started",
        "most people begin like this:",
        "1. Complete your profile.\n2. Invite a colleague.\n3. Try what you came for on a small example.",
    ),
    _starter(
        "feature_showcase",
        "What else there is",
        "What you may not have seen yet",
        "by now you know your way around. Have a look at what others find useful in their second week.",
    ),
    _starter(
        "hello", "Hello", "A word from {{ team.name }}", "we would like to know how you are getting on. Just reply."
    ),
    _starter(
        "hello_again",
        "Hello again",
        "Still with us?",
        "we wrote a while ago and would still like to hear from you. One line is enough.",
    ),
    _starter(
        "welcome_qualified_lead",
        "Welcome for a qualified lead",
        "Let us talk about what you need",
        "thank you for telling us about your plans. We will come back to you within a day.",
    ),
    _starter(
        "followup_engaged_lead",
        "Follow-up for an engaged lead",
        "Shall we show you more?",
        "you have looked at some of our material. Would half an hour together be of use to you?",
    ),
    _starter(
        "demo_followup",
        "After the demo",
        "Thank you for your time",
        "it was good to show you around. Here is what we agreed on; tell us if anything is missing.",
        greeting=GREETING_OF_A_DEAL,
    ),
    _starter(
        "cart_reminder",
        "Cart reminder",
        "You left something behind",
        "your cart is still as you left it.{% if cart_items %}\n\n"
        "{% for item in cart_items %}- {{ item.name | default: item }}\n{% endfor %}"
        "{% if cart_total %}{{ cart_total }} in all{% endif %}{% endif %}",
        "If something kept you from ordering, tell us what it was.",
    ),
    _starter(
        "we_miss_you",
        "We miss you",
        "It has been a while",
        "we have not seen you for some time. Is there anything we could do better?",
    ),
)


def add_starter_templates(*, team: Team) -> int:
    """Give the team the templates it does not have yet; the number of new ones."""
    known = set(MessageTemplate.objects.for_team(team).values_list("key", flat=True))
    rows = [
        MessageTemplate(
            team=team,
            key=starter.key,
            name=starter.name,
            subject=starter.subject,
            text=starter.text,
            # The texts above are ours, and escaping would break the quotes inside their variables.
            html=str(linebreaks(starter.text)),
        )
        for starter in STARTERS
        if starter.key not in known
    ]
    MessageTemplate.objects.bulk_create(rows)
    return len(rows)
