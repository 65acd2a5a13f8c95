"""Steps that ask a person and wait for the answer."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipelines.actions.base import Done, Fail, Fault, HumanRequest, Input, Kind, Outcome, WaitFor, message_text, settle
from pipelines.definition.delays import DelayError, parse_delay
from pipelines.definition.durations import DurationError, parse_duration
from pipelines.definition.forms import form_faults
from pipelines.definition.program import Step
from pipelines.definition.templates import TemplateError
from pipelines.definition.values import ParameterError, is_dynamic

COMPLETED = "completed"
# Edges that every step has, so no answer can be called like them.
TAKEN = frozenset({"next", "error", "skipped", "timeout", "end", "fail"})


class AskPerson(Kind):
    """A task with a form; the run waits until somebody answers or the time is over."""

    code = "human_task"
    label = "Ask a person"
    description = "Gives somebody a task with a form, and waits for the answer."
    icon = "assignment_ind"
    group = "People"
    outcomes = (COMPLETED, "timeout", "error")
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "title": "Title", "x-widget": "template", "minLength": 1, "maxLength": 500},
            "description": {
                "type": "string",
                "title": "Description",
                "description": "Empty uses the message of the step.",
                "x-widget": "textarea",
            },
            "assignee": {
                "title": "Assignee",
                "description": "Email of a member; several, with commas between them, take turns. "
                "Empty is everybody of the group, else the owner of the record.",
                "x-widget": "people",
            },
            "role": {
                "type": "string",
                "title": "Group",
                "description": "Who may take it: a role such as manager, or a group such as sales.",
                "x-widget": "group",
                "maxLength": 60,
            },
            "team": {
                "x-advanced": True,
                "type": "string",
                "title": "Team",
                "description": "Another word for the group, used where no group is given.",
                "maxLength": 60,
            },
            "form": {
                "type": "array",
                "title": "Form",
                "description": "What to ask. Later steps read an answer as steps.<key of this step>.<name>.",
                "x-widget": "form",
                "items": {"type": "object", "required": ["name", "type"]},
            },
            "outcomes": {
                "type": "array",
                "title": "Answers",
                "description": "Buttons below the form, such as approve and reject; each can lead elsewhere.",
                "x-widget": "words",
                "items": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"},
                "maxItems": 12,
                "uniqueItems": True,
            },
            "due": {"title": "Due in", "description": "Such as 2d, counted from this step.", "x-widget": "duration"},
            "priority": {
                "title": "Priority",
                "enum": ["low", "medium", "high", "urgent"],
                "x-widget": "select",
                "x-held": True,
            },
            "remind": {
                "x-advanced": True,
                "title": "Remind every",
                "description": "Mails the assignee again until the answer is there, ten times at most.",
                "x-widget": "duration",
            },
            "notify": {
                "x-advanced": True,
                "title": "Tell by mail",
                "description": "Mails the assignee a link to the form that needs no sign-in; yes unless this says no.",
                "enum": [True, False],
                "x-widget": "select",
            },
        },
    }

    def check(self, step: Mapping[str, Any]) -> Iterator[Fault]:
        """The fields of the form, names of answers, and times."""
        given = step.get("with", {})
        if "form" in given and not is_dynamic(given["form"]):
            for at, message in form_faults(given["form"]):
                yield ("with", "form", *at), message
        for index, name in enumerate(given.get("outcomes") or ()):
            if name in TAKEN:
                yield ("with", "outcomes", index), f"'{name}' already has a meaning: choose another word"
        yield from _time_faults(given)

    def outputs(self, step: Mapping[str, Any]) -> frozenset[str] | None:
        form = step.get("with", {}).get("form") or ()
        if is_dynamic(form) or any(is_dynamic(each["name"]) for each in form):
            return None
        return frozenset({*(each["name"] for each in form), "outcome", "completed_by"})

    def plan(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [self._decide(step, visit) for visit in batch]

    def _decide(self, step: Step, visit: Input) -> Outcome:
        deadline = visit.now + timedelta(seconds=step.timeout) if step.timeout is not None else None
        try:
            request = _request(step, step.params.evaluate(visit.context), visit, deadline)
        except (ParameterError, TemplateError, DurationError, DelayError) as error:
            return Fail(str(error), code="expression")
        return WaitFor(human=request, deadline=deadline)

    def resume(self, step: Step, batch: Sequence[Input]) -> list[Outcome]:
        return [_resumed(step, visit) for visit in batch]


def _resumed(step: Step, visit: Input) -> Outcome:
    outcome = settle(step, visit)
    if isinstance(outcome, Done) and outcome.outcome == "timeout":
        return Done(outcome="timeout", output={"outcome": "timeout"})
    return outcome


def _request(step: Step, params: Mapping[str, Any], visit: Input, deadline: datetime | None) -> HumanRequest:
    role, team = str(params.get("role") or ""), str(params.get("team") or "")
    owner = None if role or team else (visit.subject or {}).get("owner")
    named = params.get("assignee")
    if isinstance(named, list | tuple) and not any(named):
        named = None
    return HumanRequest(
        title=" ".join(str(params.get("title") or step.name or "Task").split())[:200],
        description=str(params.get("description") or message_text(step, visit.context)),
        assignee=named or owner,
        team=team,
        role=role,
        priority=str(params.get("priority") or "medium"),
        due_at=_due(params["due"], visit) if params.get("due") else deadline,
        remind=parse_duration(params["remind"]) if params.get("remind") else None,
        outcomes=tuple(params.get("outcomes") or ()),
        form=tuple(params.get("form") or ()),
        notify=params.get("notify") is not False,
    )


def _due(rule: Any, visit: Input) -> datetime:
    started = visit.context.get("run", {}).get("started_at") or visit.now
    zone = (visit.subject or {}).get("timezone") or (visit.context.get("team") or {}).get("timezone") or "UTC"
    due = parse_delay(rule).due_at(
        previous=visit.now, start=started, timezone_name=str(zone), context=visit.context, rng=visit.rng
    )
    return due if isinstance(due, datetime) else visit.now


def _time_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    if "remind" in given and not is_dynamic(given["remind"]):
        try:
            if parse_duration(given["remind"]) < 60:
                yield ("with", "remind"), "at least a minute"
        except (DurationError, TypeError) as error:
            yield ("with", "remind"), str(error)
