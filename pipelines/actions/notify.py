"""Steps that tell a member something inside the product."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.actions.base import Create, Done, Fail, Input, Kind, Outcome, message_text
from pipelines.definition.program import Step
from pipelines.definition.templates import TemplateError
from pipelines.definition.values import ParameterError


class Notify(Kind):
    """A note on a member's dashboard."""

    code = "notify"
    label = "Notify a member"
    description = "Shows a note to a member of the team on the dashboard."
    icon = "notifications"
    group = "People"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "to": {
                "title": "To",
                "description": "Email of a member, or {{ subject.owner.manager }}. "
                "Empty, as of an owner without one, is the owner of the subject, else the owners of the team.",
                "x-widget": "user",
            },
            "title": {
                "type": "string",
                "title": "Title",
                "description": "Empty uses the message of the step.",
                "x-widget": "template",
            },
            "role": {
                "type": "string",
                "title": "Group",
                "description": "Tells everybody of a role such as manager, or of a group such as sales.",
                "x-widget": "group",
                "maxLength": 60,
            },
            "body": {"type": "string", "title": "Text", "x-widget": "textarea"},
            "text": {
                "x-advanced": True,
                "type": "string",
                "title": "Short text",
                "description": "Another word for the title.",
                "x-widget": "template",
            },
        },
    }

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset()

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            given = params.get("title") or params.get("text") or message_text(step, visit.context)
            title = str(given or step.name or "Notification")
        except (ParameterError, TemplateError) as error:
            return Fail(str(error), code="expression")
        group = str(params.get("role") or "")
        user = params.get("to") or (None if group else (visit.subject or {}).get("owner"))
        values = {"user": user, "group": group, "title": title[:200], "body": str(params.get("body") or "")}
        return Done(changes=(Create("crm.notification", values),))
