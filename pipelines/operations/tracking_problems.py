"""Whether anybody counts the opens and clicks that a document waits for."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.conf import settings

from crm.models import MessageTemplate, Team
from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place
from pipelines.definition.shapes import spoken_path

# What each is told by, as the team's own setting names it.
_COUNTED: Final = {"email_opened": "track_opens", "email_clicked": "track_clicks"}


def tracking_problems(document: Mapping[str, Any], team: Team) -> Iterator[Problem]:
    """A warning for each wait and goal on opens or clicks that no mail of the document counts; one statement at most.

    Documents without mail of their own are left alone, and so are installations whose provider tells of readers.
    """
    asked = [(at, name) for at, name in _asked(document) if name in _COUNTED]
    mails = [place.step for place in every_place(document) if place.step["type"] == "send_email"]
    if not asked or not mails or settings.MAIL_PROVIDERS:
        return
    with_html = _with_html(mails, team)
    for at, name in asked:
        by_team = bool(getattr(team, _COUNTED[name]))
        if not any(_counts(step, by_team) and has_html for step, has_html in zip(mails, with_html, strict=True)):
            told = (
                f"no mail of this pipeline tells of '{name}': it needs HTML, and tracking switched on in its step or "
                "in the settings of the team"
            )
            yield Problem(spoken_path(at), told, "warning")


def _asked(document: Mapping[str, Any]) -> Iterator[tuple[list[str | int], str]]:
    """Every event that a wait or a goal names, with the place of its name."""
    for place in every_place(document):
        if place.step["type"] == "wait_for":
            for index, event in enumerate(place.step.get("with", {}).get("events") or ()):
                yield [*place.at, "with", "events", index, "event"], str(event.get("event"))
    for index, goal in enumerate(document.get("goals") or ()):
        yield ["goals", index, "event"], str(goal.get("event"))


def _counts(step: Mapping[str, Any], by_team: bool) -> bool:
    given = step.get("with", {}).get("tracking")
    return given == "on" or (by_team and given != "off")


def _with_html(mails: list[Mapping[str, Any]], team: Team) -> list[bool]:
    given = [step.get("with", {}) for step in mails]
    keys = {key for each in given if isinstance(key := each.get("template"), str) and key}
    rows = MessageTemplate.objects.for_team(team).filter(key__in=keys).exclude(html="") if keys else None
    known = set(rows.values_list("key", flat=True)) if rows is not None else set()
    return [each["template"] in known if each.get("template") else bool(each.get("html")) for each in given]
