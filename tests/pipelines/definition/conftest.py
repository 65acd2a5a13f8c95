"""Shared beginnings for tests of the pipeline language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

PARTS: Mapping[str, tuple[str, ...]] = {
    "wait": ("next",),
    "condition": ("true", "false", "error"),
    "switch": ("default", "error"),
    "set_variable": ("next", "error"),
    "find_records": ("next", "error"),
    "wait_for": ("met", "timeout"),
    "human_task": ("completed", "timeout"),
    "send_push": ("next", "skipped", "error"),
    "send_sms": ("next", "skipped", "error"),
    "notify": ("next", "error"),
    "call_api": ("next", "error"),
    "create_task": ("next", "error"),
    "update_record": ("next", "error"),
    "end": (),
    "parallel": ("next", "error", "timeout"),
    "loop": ("next", "error", "timeout"),
    "call": ("next", "error", "timeout"),
    "code": ("next", "error"),
    "create_record": ("next", "skipped", "error"),
    "add_to_segment": ("next", "skipped", "error"),
}


@dataclass(frozen=True)
class Kind:
    """An action as the language sees it."""

    code: str
    outcomes: tuple[str, ...]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    effects: bool = False
    at_most_once: bool = False
    idempotent: bool = False


@pytest.fixture(scope="session")
def kinds() -> Mapping[str, Kind]:
    """The actions known in these tests; send_email has parameters worth checking."""
    email = Kind(
        "send_email",
        ("next", "skipped", "error"),
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["template"],
            "properties": {
                "template": {"type": "string", "minLength": 1},
                "to": {"type": "string"},
                "subject": {"type": "string"},
                "variables": {"type": "object"},
                "priority": {"type": "integer", "minimum": 1, "maximum": 5},
            },
        },
    )
    return {"send_email": email} | {code: Kind(code, outs) for code, outs in PARTS.items()}
