"""What variables, exit rules, goals and settings of a pipeline are made of, for the fields that the page draws."""

from typing import Any, Final

_DURATION: Final = {"x-widget": "duration"}
_EVENT: Final = {"type": "string", "title": "Event", "x-widget": "event"}

# By the name of the form's field, which holds the same as JSON.
TOP_SCHEMAS: Final[dict[str, Any]] = {
    "variables": {
        "title": "Variables",
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "type"],
            "properties": {
                "name": {"type": "string", "title": "Name"},
                "type": {
                    "title": "Kind",
                    "enum": ["string", "number", "boolean", "datetime", "date", "object", "list", "any"],
                },
                "required": {"type": "boolean", "title": "Whoever enters must bring it"},
                "default": {"title": "To begin with"},
                "description": {"type": "string", "title": "What it is for"},
            },
        },
    },
    "exit_rules": {
        "title": "Exit rules",
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "event": {**_EVENT, "description": "Such as unsubscribed; or a condition."},
                "match": {"type": "object", "title": "Carrying", "description": "What the event must carry."},
                "where": {"title": "Only if"},
                "status": {"title": "The run is then", "enum": ["completed", "cancelled"]},
                "reason": {"type": "string", "title": "Reason", "description": "Shown where the run ended."},
            },
        },
    },
    "goals": {
        "title": "Goals",
        "type": "array",
        "items": {
            "type": "object",
            "required": ["key", "event"],
            "properties": {
                "key": {"type": "string", "title": "Key"},
                "event": {**_EVENT, "description": "What counts as success."},
                "where": {"title": "Only if"},
                "value": {"type": "string", "title": "Worth", "description": "Such as {{ event.total }}."},
                "within": {**_DURATION, "title": "Within", "description": "Of the start of the run."},
                "exit": {"type": "boolean", "title": "The run ends with it"},
            },
        },
    },
    "settings": {
        "type": "object",
        "properties": {
            "timezone": {
                "type": "string", "title": "Time zone",
                "description": "Such as Europe/Berlin: by its clock go delays, due times, hours for sending and "
                "schedules that name no zone. Empty is that of the record, else of the team.",
            },
            "priority": {"type": "integer", "title": "Priority", "description": "0 to 9; the higher goes first."},
            "max_executions": {"type": "integer", "title": "Records in all", "description": "How many may ever enter."},
            "max_per_hour": {
                "type": "integer",
                "title": "Records an hour",
                "description": "So many begin in an hour; the others get their places one after the other.",
            },
            "max_in_flight": {
                "type": "integer",
                "title": "Messages and calls at the same time",
                "description": "So many are on their way at once, by all workers together.",
            },
            "expires_after": {**_DURATION, "title": "A run ends at the latest after"},
            "step_timeout": {**_DURATION, "title": "A call may take", "description": "Where its step says nothing."},
            "max_hops": {"type": "integer", "title": "Visits of steps in a run", "x-advanced": True},
            "window": {
                "title": "Hours for sending", "description": "What stands here is said before the rules of the team.",
                "x-widget": "window", "x-advanced": True,
            },
            "retry": {
                "title": "When a step fails",
                "description": "Where the step says nothing itself. Blocks are repeated only by rules of their own.",
                "x-widget": "retry", "x-advanced": True,
            },
        },
    },
}  # fmt: skip
