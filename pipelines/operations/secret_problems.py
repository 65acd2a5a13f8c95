"""Secrets that a document names: whether the team has them, and whether they may go where the call goes."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from crm.channels.calls import BadRequest, host_as_called
from crm.models import Secret, Team
from pipelines.definition.document import Problem
from pipelines.definition.naming import names_at
from pipelines.definition.secret_places import CARRYING, SECRET, secrets_named
from pipelines.definition.shapes import spoken_path
from pipelines.models import Pipeline, PipelineStep


def secret_problems(document: Mapping[str, Any], team: Team) -> Iterator[Problem]:
    """One statement, if the document names any secret."""
    known = names_at(document)
    # Where something of the document has this name itself, that is what is read.
    named = [each for each in secrets_named(document) if SECRET not in known(each.place)]
    if not named:
        return
    rows = Secret.objects.for_team(team).filter(name__in={each.name for each in named})
    hosts: dict[str, list[str]] = dict(rows.values_list("name", "hosts"))
    for each in named:
        if each.name not in hosts:
            message = f"there is no secret '{each.name}' in {team.name}: add it under Team → Secrets first"
            yield Problem(spoken_path(each.at), message)
        elif each.host is not None and _spelled(each.host) not in hosts[each.name]:
            message = (
                f"the secret '{each.name}' may not be sent to {each.host}, only to {', '.join(hosts[each.name])}: "
                "change the address, or add the host to the secret"
            )
            yield Problem(spoken_path(each.address_at), message)


def pipelines_with(team: Team, names: Collection[str]) -> dict[str, list[str]]:
    """The pipelines of a team, but archived ones, that name secrets in calls of their drafts or running versions."""
    found: dict[str, set[str]] = {}
    for title, text in [*_in_steps(team), *_in_versions(team)]:
        for name in names:
            if f"{SECRET}.{name}" in _words(text):
                found.setdefault(name, set()).add(f"the pipeline ‘{title}’")
    return {name: sorted(titles) for name, titles in found.items()}


def _in_steps(team: Team) -> Iterator[tuple[str, str]]:
    kinds = {kind for kind, _ in CARRYING}
    rows = PipelineStep.objects.filter(pipeline__team=team, action_type__in=kinds, archived_at=None)
    rows = rows.exclude(pipeline__status=Pipeline.Status.ARCHIVED)
    return _texts(rows, "data", "pipeline__name")


def _in_versions(team: Team) -> Iterator[tuple[str, str]]:
    rows = Pipeline.objects.for_team(team).filter(current_version__isnull=False)
    rows = rows.exclude(status=Pipeline.Status.ARCHIVED)
    return _texts(rows, "current_version__document", "name")


def _texts(rows: Any, column: str, title: str) -> Iterator[tuple[str, str]]:
    texts = rows.annotate(_text=Cast(column, TextField())).filter(_text__contains=f"{SECRET}.")
    yield from texts.values_list(title, "_text")


def _words(text: str) -> frozenset[str]:
    """The dotted words of a text, so that a name is not taken for a longer one that begins alike."""
    return frozenset("".join(sign if sign.isalnum() or sign in "._" else " " for sign in text).split())


def _spelled(host: str) -> str:
    try:
        return host_as_called(host)
    except BadRequest:
        return host
