"""What steps name and the team must have: templates, people, segments, pipelines and types of records."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from django.db.models import Q

from contacts.models import RecordType, Segment
from crm.models import Member, MessageTemplate, Team
from pipelines.actions.registry import kinds
from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place, subject_model
from pipelines.definition.shapes import spoken_path
from pipelines.definition.values import is_dynamic
from pipelines.models import Pipeline

_OWN: Final = "records."
_ASLEEP: Final[Mapping[int | None, str]] = {
    Pipeline.Status.DRAFT.value: "is not active yet, and this step fails until it is: activate it, too",
    Pipeline.Status.ARCHIVED.value: "is archived, so this step will fail",
}
# A paused pipeline may be called, and its runs wait; entering it is refused.
_TELLS: Final[Mapping[str, Mapping[int | None, str]]] = {
    "call": _ASLEEP,
    "enroll": {**_ASLEEP, Pipeline.Status.PAUSED.value: "is paused, and this step fails until it is resumed"},
}


def reference_problems(document: Mapping[str, Any], team: Team, *, beside: Collection[str] = ()) -> Iterator[Problem]:
    """One statement for each kind of thing that the document names; pipelines in `beside` come with it."""
    named = list(_references(document))
    for widget, (known, sentence) in _CHECKS.items():
        wanted = {key for kind, key, _ in named if kind == widget}
        if not wanted:
            continue
        found = known(team, wanted)
        there = {*found, *_made_by_steps(document, widget), *(beside if widget == "pipeline" else ())}
        for kind, key, path in named:
            if kind == widget and key.lower() not in there:
                yield Problem(path, sentence.format(key=key, team=team.name))
        if isinstance(found, Mapping):
            own = {str(document.get("key", "")), *beside}
            yield from _resting(document, {key: status for key, status in found.items() if key not in own})


def named_pipelines(document: Mapping[str, Any]) -> set[str]:
    """The keys of the other pipelines that the steps of a document name."""
    own = str(document.get("key", ""))
    return {key for widget, key, _ in _references(document) if widget == "pipeline"} - {own}


def _references(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    known = kinds()
    subject = subject_model(document)
    if subject is not None and subject.startswith(_OWN):
        yield "record_model", subject, "subject"
    for place in every_place(document):
        properties = known[place.step["type"]].schema.get("properties", {})
        for name, value in place.step.get("with", {}).items():
            widget, path = properties.get(name, {}).get("x-widget", ""), [*place.at, "with", name]
            if widget == "people":
                yield from _each(value if isinstance(value, list) else [value], path)
            elif isinstance(value, str) and value and not is_dynamic(value):
                yield widget, value, spoken_path(path)


def _resting(document: Mapping[str, Any], statuses: Mapping[str, int]) -> Iterator[Problem]:
    """Steps that start a pipeline which takes nobody in: they will fail, unless it is active by then."""
    for place in every_place(document):
        key = place.step.get("with", {}).get("pipeline")
        told = _TELLS.get(place.step["type"], {}).get(statuses.get(key)) if isinstance(key, str) else None
        if told is not None:
            path = spoken_path([*place.at, "with", "pipeline"])
            yield Problem(path, f"'{key}' {told}", severity="warning")


def _each(people: list[Any], path: list[Any]) -> Iterator[tuple[str, str, str]]:
    """One who is named alone stands at the path itself, several each at their own."""
    for index, who in enumerate(people):
        if isinstance(who, str) and who and not is_dynamic(who):
            yield "user", who, spoken_path([*path, index] if len(people) > 1 else path)


def _made_by_steps(document: Mapping[str, Any], widget: str) -> set[str]:
    if widget == "pipeline":
        return {str(document.get("key", ""))}
    if widget != "segment":
        return set()
    return {place.step["with"]["segment"] for place in every_place(document) if place.step["type"] == "create_segment"}


def _templates(team: Team, keys: set[str]) -> set[str]:
    return set(MessageTemplate.objects.for_team(team).filter(key__in=keys).values_list("key", flat=True))


def _people(team: Team, names: set[str]) -> set[str]:
    matches = Q()
    for name in names:
        matches |= Q(user__email__iexact=name) | Q(user__username__iexact=name)
    members = Member.objects.for_team(team).filter(matches).values_list("user__email", "user__username")
    return {text.lower() for member in members for text in member if text}


def _segments(team: Team, keys: set[str]) -> set[str]:
    return set(Segment.objects.for_team(team).filter(key__in=keys).values_list("key", flat=True))


def _pipelines(team: Team, keys: set[str]) -> dict[str, int]:
    """The status of each."""
    return dict(Pipeline.objects.for_team(team).filter(key__in=keys).values_list("key", "status"))


def _models(team: Team, labels: set[str]) -> set[str]:
    own = {label.removeprefix(_OWN) for label in labels if label.startswith(_OWN)}
    types = RecordType.objects.for_team(team).filter(key__in=own).values_list("key", flat=True) if own else ()
    return {label for label in labels if not label.startswith(_OWN)} | {f"{_OWN}{key}" for key in types}


_CHECKS: Final[Mapping[str, tuple[Callable[[Team, set[str]], Collection[str]], str]]] = {
    "message_template": (_templates, "there is no message template '{key}' in {team}: create it first"),
    "user": (_people, "'{key}' is not the email of a member of {team}"),
    "segment": (_segments, "there is no segment '{key}' in {team}: create it first, or by a create_segment step"),
    "pipeline": (_pipelines, "there is no pipeline '{key}' in {team}: import it first"),
    "record_model": (_models, "there is no type of record '{key}' in {team}: define it first"),
}
