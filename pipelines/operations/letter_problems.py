"""What is likely to be wrong with the mail of a document: warnings, which keep nobody from publishing."""

from collections.abc import Iterator, Mapping
from typing import Any

from crm.letter_checks import letter_warnings
from crm.models import MessageTemplate, Team
from crm.topics import unknown_topics
from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place
from pipelines.definition.shapes import spoken_path


def letter_problems(
    document: Mapping[str, Any], team: Team, templates: Mapping[str, MessageTemplate]
) -> Iterator[Problem]:
    """Links that do not work, mail nobody can unsubscribe from, topics nobody finds; one statement at most.

    `templates` are those that steps of the document send, by key.
    """
    yield from _topic_problems(document, team)
    steps = [place for place in every_place(document) if place.step["type"] == "send_email"]
    for place in steps:
        given = place.step.get("with", {})
        template = templates.get(given.get("template", ""))
        if template is not None:
            path = spoken_path([*place.at, "with", "template"])
            # A step that names its topic, transactional too, has chosen; one that takes it over may not know it.
            topic = "-" if given.get("topic") else template.topic
            yield from (Problem(path, told, "warning") for told in _of_template(template, topic))
        else:
            for name in ("html", "text"):
                if given.get(name):
                    path = spoken_path([*place.at, "with", name])
                    parts = {"text": "-", "html": "", name: str(given[name])}
                    told = letter_warnings(subject="-", topic="-", **parts)
                    yield from (Problem(path, each, "warning") for each in told)
        if given.get("tracking") == "on" and not (template.html if template is not None else given.get("html")):
            path = spoken_path([*place.at, "with", "tracking"])
            yield Problem(path, "opens and clicks are counted in HTML alone, and this mail has none", "warning")


def _topic_problems(document: Mapping[str, Any], team: Team) -> Iterator[Problem]:
    named = [(place, topic) for place in every_place(document) if isinstance(topic := _topic(place.step), str)]
    unknown = unknown_topics(team, {topic for _, topic in named})
    for place, topic in named:
        if topic in unknown:
            told = f"the team has no topic '{topic}': readers do not find it among their preferences"
            yield Problem(spoken_path([*place.at, "with", "topic"]), told, "warning")


def _topic(step: Mapping[str, Any]) -> object:
    return step.get("with", {}).get("topic") if step["type"].startswith("send_") else None


def _of_template(template: MessageTemplate, topic: str) -> Iterator[str]:
    for told in letter_warnings(subject=template.subject, text=template.text, html=template.html, topic=topic):
        yield f"template '{template.key}': {told}"
