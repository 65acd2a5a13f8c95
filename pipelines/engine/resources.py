"""Message templates of a team, compiled once per edit and loaded once per batch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from contacts.models import RecordType
from contacts.own_fields import Field, all_definitions
from crm.models import MessageTemplate
from crm.models.team import CONTENT
from pipelines.actions.base import RecordShape
from pipelines.definition.templates import Template, compile_template
from pipelines.personal import personal_of


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A message template ready to render."""

    subject: Template
    text: Template
    html: Template
    topic: str

    @property
    def names(self) -> frozenset[str]:
        """The names its three parts read."""
        return frozenset(self.subject.names) | frozenset(self.text.names) | frozenset(self.html.names)

    @property
    def paths(self) -> frozenset[tuple[str, ...]]:
        """The dotted paths they read."""
        return self.subject.paths | self.text.paths | self.html.paths


@dataclass(frozen=True, slots=True)
class TeamResources:
    """What the steps of one team may read by key."""

    templates: Mapping[str, CompiledTemplate]
    record_types: Mapping[str, RecordShape] = field(default_factory=dict)
    fields: Mapping[str, tuple[Field, ...]] = field(default_factory=dict)

    @property
    def personal(self) -> frozenset[str]:
        """The keys of fields that the team marked as personal, as far as they were loaded."""
        return personal_of([*self.fields.values(), *(shape.fields for shape in self.record_types.values())])

    def own_fields(self, model: str) -> tuple[Field, ...]:
        """The fields that the team defines for a model."""
        return self.fields.get(model, ())

    def record_type(self, key: str) -> RecordShape | None:
        return self.record_types.get(key)

    def template(self, key: str) -> CompiledTemplate | None:
        return self.templates.get(key)

    def paths_of(self, keys: Collection[str]) -> frozenset[tuple[str, ...]]:
        """What these templates read; one that the team does not have reads nothing."""
        return frozenset().union(*(self.templates[key].paths for key in keys if key in self.templates))

    @property
    def names(self) -> frozenset[str]:
        """The names that all templates together read."""
        return frozenset(name for template in self.templates.values() for name in template.names)


NOTHING = TeamResources({})


def load_resources(
    *, team_id: int, template_keys: Collection[str], record_types: bool = False, fields_of: Collection[str] = ()
) -> TeamResources:
    """One statement for each kind of thing that steps of the batch read, none when they read nothing."""
    if not template_keys and not record_types and not fields_of:
        return NOTHING
    return TeamResources(
        templates=_templates(team_id, template_keys) if template_keys else {},
        record_types=_record_types(team_id) if record_types else {},
        fields=_fields(team_id, fields_of) if fields_of else {},
    )


def _fields(team_id: int, labels: Collection[str]) -> dict[str, tuple[Field, ...]]:
    found = all_definitions(teams=[team_id], labels=labels)
    return {label: fields for (_, label), fields in found.items()}


def _record_types(team_id: int) -> dict[str, RecordShape]:
    rows = RecordType.objects.filter(team_id=team_id).values_list("pk", "key", "label", "fields")
    return {key: RecordShape(pk, key, label, tuple(fields)) for pk, key, label, fields in rows}


def _templates(team_id: int, template_keys: Collection[str]) -> dict[str, CompiledTemplate]:
    rows = MessageTemplate.objects.filter(team_id=team_id, key__in=template_keys).values_list(
        "pk", "updated_at", "key", "subject", "text", "html", "topic", "use_layout", "team__mail_layout"
    )
    return {row[2]: compiled_template(*row[:2], *row[3:]) for row in rows}


@lru_cache(maxsize=2_000)
def compiled_template(
    pk: int, updated_at: datetime, subject: str, text: str, html: str, topic: str, use_layout: bool, layout: str
) -> CompiledTemplate:
    """Raises TemplateError; the layout of the team stands around HTML only."""
    if html and use_layout and layout.strip():
        html = layout.replace(CONTENT, html)
    return CompiledTemplate(
        subject=compile_template(subject),
        text=compile_template(text),
        html=compile_template(html, html=True),
        topic=topic,
    )
