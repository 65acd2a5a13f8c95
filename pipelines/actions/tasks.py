"""Steps that hand work to people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipelines.actions.base import Create, Done, Fail, Fault, Input, Kind, Outcome, message_text
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.definition.program import Step
from pipelines.definition.templates import TemplateError
from pipelines.definition.values import ParameterError, is_dynamic


class CreateTask(Kind):
    """Puts a task on somebody's list."""

    code = "create_task"
    reads_of_subject = frozenset({"owner"})
    label = "Create task"
    description = "Adds a task about the subject to a person's list."
    icon = "task_alt"
    group = "People"
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "title": {
                "type": "string",
                "title": "Title",
                "description": "Empty uses the message of the step.",
                "x-widget": "template",
                "maxLength": 500,
            },
            "description": {"type": "string", "title": "Description", "x-widget": "textarea"},
            "assignee": {
                "title": "Assignee",
                "description": "Email of a member; empty is the owner of the subject.",
                "x-widget": "user",
            },
            "due": {"title": "Due in", "description": "Such as 2d, counted from this step.", "x-widget": "duration"},
            "priority": {
                "title": "Priority",
                "enum": ["low", "medium", "high", "urgent"],
                "x-widget": "select",
                "x-held": True,
            },
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        """A time that nobody can read would make every run fail there."""
        due = step.get("with", {}).get("due")
        if due and not is_dynamic(due):
            try:
                parse_duration(due)
            except DurationError as error:
                yield ("with", "due"), str(error)

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        return frozenset({"title", "priority"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        try:
            params = step.params.evaluate(visit.context)
            due = visit.now + timedelta(seconds=parse_duration(params["due"])) if params.get("due") else None
            title = str(params.get("title") or message_text(step, visit.context) or step.name or "Task")
        except (ParameterError, TemplateError, DurationError) as error:
            return Fail(str(error), code="expression")
        values = {
            "title": title[:200],
            "description": str(params.get("description") or ""),
            "assignee": params.get("assignee") or (visit.subject or {}).get("owner"),
            "due_at": due,
            "priority": params.get("priority") or "medium",
        }
        return Done(changes=(Create("crm.task", values),), output=_output(values))


def _output(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"title": values["title"], "priority": values["priority"]}
