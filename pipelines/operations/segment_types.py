"""What rules of segments can never be, by the types of the fields they read."""

from typing import Any

from contacts.hooks import RulePreview
from contacts.models import Contact
from crm.models import Team
from pipelines.definition.layout import Path
from pipelines.definition.shapes import spoken_path
from pipelines.definition.typed import Known, Typed, named
from pipelines.definition.typed_conditions import condition_findings
from pipelines.engine.segments.previewing import Rules
from pipelines.engine.segments.rule import ROOTS
from pipelines.operations.field_types import FieldTypes

# What is read of events that happened to a contact.
_DID = {"times": Typed("number"), "latest": Typed("moment")}


class TypedRules(Rules):
    """Previews that also say what always has the same result; one statement more where own fields are read."""

    def preview(self, team: Team, where: Any, limit: int) -> RulePreview:
        return super().preview(team, where, limit)._replace(warnings=rule_warnings(team, where))


def rule_warnings(team: Team, where: Any) -> list[str]:
    """Sentences with their places, such as `all[0].value: 'soon' is a text: this is never true`."""
    of_contacts = FieldTypes(team).of(Contact._meta.label_lower)

    def known(path: tuple[str, ...]) -> Known:
        if path[0] not in ROOTS:
            return None
        return named(_DID.get(path[-1]) if path[1:2] == ("did",) else of_contacts(path[1:]), ".".join(path))

    return [f"{_place(at)}{finding}" for at, finding in condition_findings(where, known)]


def _place(at: Path) -> str:
    return f"{spoken_path(at)}: " if at else ""
