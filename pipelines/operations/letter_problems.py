"""What is likely to be wrong with the mail of a document: warnings, which keep nobody from publishing."""

from collections.abc import Iterator, Mapping
from typing import Any

from crm.letter_checks import letter_warnings
from crm.mail_links import PLACES
from crm.models import MessageTemplate, Team
from crm.topics import unknown_topics
from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place, subject_alias
from pipelines.definition.shapes import spoken_path
from pipelines.definition.templates import TemplateError, compile_template

_NAMES = frozenset({"contact", "company", "deal", "subject", "team", "now", "vars", "trigger", "steps", "run"})
_MORE = frozenset({"pipeline", "task", "record", "event", *PLACES})


def letter_problems(document: Mapping[str, Any], team: Team) -> Iterator[Problem]:
    """Links that do not work, names nobody brings, mail nobody can unsubscribe from, topics nobody finds.

    Two statements at most.
    """
    yield from _topic_problems(document, team)
    steps = [place for place in every_place(document) if place.step["type"] == "send_email"]
    keys = {key for place in steps if isinstance(key := place.step.get("with", {}).get("template"), str) and key}
    rows = MessageTemplate.objects.for_team(team).filter(key__in=keys) if keys else ()
    templates = {row.key: row for row in rows}
    for place in steps:
        given = place.step.get("with", {})
        template = templates.get(given.get("template", ""))
        if template is not None:
            path = spoken_path([*place.at, "with", "template"])
            brought = _brought(document, given)
            # A step that names its topic, transactional too, has chosen; one that takes it over may not know it.
            topic = "-" if given.get("topic") else template.topic
            yield from (Problem(path, told, "warning") for told in _of_template(template, brought, topic))
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


def _of_template(template: MessageTemplate, brought: frozenset[str], topic: str) -> Iterator[str]:
    name = f"template '{template.key}'"
    try:
        parts = [compile_template(template.subject), compile_template(template.text), compile_template(template.html)]
    except TemplateError as error:
        yield f"{name} cannot be rendered: {error}"
        return
    missing = sorted({each for part in parts for each in part.names} - brought)
    if missing:
        yield f"{name} reads {', '.join(missing)}, which this pipeline does not bring: these places stay empty"
    for told in letter_warnings(subject=template.subject, text=template.text, html=template.html, topic=topic):
        yield f"{name}: {told}"


def _brought(document: Mapping[str, Any], given: Mapping[str, Any]) -> frozenset[str]:
    """The names a message of this document may read."""
    names = set(_NAMES | _MORE)
    for variable in document.get("variables") or []:
        names.add(str(variable.get("name", "")))
    names.add(subject_alias(document) or "")
    for place in every_place(document):
        names |= _set_by(place.step)
    return frozenset(names | set(given.get("variables") or {}))


def _set_by(step: Mapping[str, Any]) -> set[str]:
    own = {"item", "index"}
    for part in ("assign", "with"):
        values = step.get(part)
        if isinstance(values, Mapping):
            own |= {str(name) for name in values}
            own |= {str(values[name]) for name in ("as", "index", "name") if isinstance(values.get(name), str)}
    return own
