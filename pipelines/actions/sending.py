"""What every step that sends a message to people may say about its time."""

from typing import Any, Final

WINDOW: Final[dict[str, Any]] = {
    "x-advanced": True,
    "type": "object",
    "title": "Send hours",
    "description": "When it may leave, instead of what the pipeline says.",
    "x-widget": "window",
}
