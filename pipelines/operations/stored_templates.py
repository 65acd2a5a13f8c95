"""What stored templates read, held to what the pipelines that send them bring.

A template changes without those pipelines, so everything here is a warning: at publish of each, and when it is saved.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from crm.models import MessageTemplate, Team
from pipelines.actions.registry import kinds
from pipelines.definition.document import Problem
from pipelines.definition.expressions import suggestion
from pipelines.definition.layout import Place, every_place, subject_model, subject_names, variable_names
from pipelines.definition.meant import meant_by, places_of, words_of
from pipelines.definition.naming import names_at
from pipelines.definition.shapes import spoken_path
from pipelines.definition.templates import Template, TemplateError, compile_template
from pipelines.definition.typed import Known
from pipelines.definition.typed_templates import template_findings
from pipelines.definition.values import is_dynamic
from pipelines.models import Pipeline
from pipelines.operations.field_names import slip
from pipelines.operations.field_types import FieldTypes
from pipelines.operations.output_problems import output_slip, outputs_known
from pipelines.operations.type_problems import document_types
from pipelines.subjects import subject_named

_PARTS: Final = ("subject", "text", "html")
_MOST_PIPELINES: Final = 50
_MOST_TOLD: Final = 20


def templates_sent(document: Mapping[str, Any], team: Team) -> Mapping[str, MessageTemplate]:
    """The templates of a team that steps of a document send, by key; one statement at most."""
    keys = {_key(place) for place in every_place(document)} - {""}
    rows = MessageTemplate.objects.for_team(team).filter(key__in=keys) if keys else ()
    return {row.key: row for row in rows}


def template_problems(
    document: Mapping[str, Any], templates: Mapping[str, MessageTemplate], fields: FieldTypes
) -> Iterator[Problem]:
    """Warnings about the templates that steps send, such as `steps[0].with.template.welcome.text`.

    `templates` are those of `templates_sent`.
    """
    if templates:
        brought = _Brought(document, fields)
        for place in brought.places:
            template = templates.get(_key(place))
            if template is not None:
                yield from _of_step(place, template, brought)


def template_warnings(template: MessageTemplate) -> list[str]:
    """What is likely to stay empty in the pipelines that send a template, as sentences; three statements at most."""
    rows = Pipeline.objects.for_team(template.team).exclude(status=Pipeline.Status.ARCHIVED)
    senders = rows.filter(current_version__isnull=False, steps__data__template=template.key, steps__archived_at=None)
    found = rows.filter(pk__in=senders.values("pk")).order_by("key")[:_MOST_PIPELINES]
    fields = FieldTypes(template.team)
    told: dict[str, None] = {}
    for name, document in found.values_list("name", "current_version__document"):
        brought = _Brought(document, fields)
        for place in brought.places:
            if _key(place) == template.key:
                problems = _of_step(place, template, brought)
                told |= dict.fromkeys(
                    f"In {name}, step '{place.key}': {_part(each)}{each.message}" for each in problems
                )
    return list(told)[:_MOST_TOLD]


def _part(problem: Problem) -> str:
    return f"{problem.path.rpartition('.')[2]}: "


def _key(place: Place) -> str:
    """The template that a step sends; empty where it sends none, or which one is worked out."""
    kind = kinds().get(str(place.step.get("type")))
    asked = kind.schema.get("properties", {}).get("template", {}) if kind is not None else {}
    key = (place.step.get("with") or {}).get("template")
    is_ours = asked.get("x-widget") == "message_template" and isinstance(key, str) and not is_dynamic(key)
    return str(key) if is_ours and key else ""


def _of_step(place: Place, template: MessageTemplate, brought: "_Brought") -> Iterator[Problem]:
    given = place.step.get("with") or {}
    more = given.get("variables")
    reader = _Reader(brought, place, frozenset(more) if isinstance(more, Mapping) else frozenset())
    for part in _parts(place, given):
        at = spoken_path((*place.at, "with", "template", template.key, part))
        compiled = _compiled(getattr(template, part))
        told = reader.told(compiled) if isinstance(compiled, Template) else [f"cannot be rendered: {compiled}"]
        yield from (Problem(at, message, "warning") for message in dict.fromkeys(told))


def _parts(place: Place, given: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a template that a step uses: words of its own stand before them."""
    mail = place.step["type"] == "send_email"
    for part in _PARTS if mail else ("subject", "text"):
        own = ("subject", "title") if part == "subject" else () if mail else ("text", "body")
        titled = mail or place.step["type"] == "send_push"
        if not any(given.get(name) for name in own) and (part != "subject" or titled):
            yield part


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template | str:
    """A part of a template, or why it is none; kept, for many steps and pipelines send the same."""
    try:
        return compile_template(source)
    except TemplateError as error:
        return str(error)


class _Brought:
    """What a document brings to the templates that its steps send, worked out once for all of them."""

    def __init__(self, document: Mapping[str, Any], fields: FieldTypes) -> None:
        self.places = every_place(document)
        self.names, self.types = names_at(document), document_types(document, fields)
        self._document, self._fields = document, fields
        self._steps, self._variables = {each.key for each in self.places}, variable_names(document)
        self._outputs = outputs_known(document)
        self._label, self._subjects = subject_model(document) or "", subject_names(document)
        self._kind = subject_named(self._label)

    def wrong(self, path: tuple[str, ...], known: frozenset[str]) -> str:
        """What is wrong with reading a path where these names are known; empty where nothing is."""
        name, rest = path[0], path[1:]
        if name not in known:
            words = words_of(self._document, lambda: self._fields.names(self._label))
            return f"reads {name}, which this pipeline does not bring{meant_by(path, known, words)}"
        if name == "vars" and rest and rest[0] not in self._variables:
            return f"there is no variable '{rest[0]}'{suggestion(rest[0], self._variables)}"
        if name == "steps" and rest and rest[0] not in self._steps:
            return f"there is no step '{rest[0]}'{suggestion(rest[0], self._steps)}"
        if name == "steps":
            return output_slip(path, self._outputs)
        if self._kind is not None and name in self._subjects:
            return slip(rest, self._kind, self._fields)
        return ""


class _Reader:
    """What one step brings to the template that it sends: the names of its document and its own."""

    def __init__(self, brought: _Brought, place: Place, own: frozenset[str]) -> None:
        self._brought, self._own = brought, own
        self._known = brought.names(place) | own

    def told(self, template: Template) -> Iterator[str]:
        """A sentence for everything that stays empty, fails or always has the same result."""
        for path in sorted(template.paths):
            wrong = "" if path[0] in self._own else self._brought.wrong(path, self._known)
            if wrong:
                yield from (f"{wrong}{place}" for _, place in places_of(path, template.source))
        yield from (str(each) for each in template_findings(template, self._types))

    def _types(self, path: tuple[str, ...]) -> Known:
        return None if path[0] in self._own else self._brought.types(path)
