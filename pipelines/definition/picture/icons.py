"""Icons as paths on a grid of 24, drawn with a line: never glyphs of a font, which a picture may not have."""

from typing import Final

ICONS: Final[dict[str, str]] = {
    "send_email": "M3 6h18v12H3zM3 7l9 6 9-6",
    "send_sms": "M4 5h16v11H10l-4 4v-4H4zM8 9h8M8 12h5",
    "send_push": "M7 3h10v18H7zM11 18h2",
    "send_whatsapp": "M4 20l1.3-4.2A8 8 0 1 1 8.400 19zM9 9c0 3.500 2.500 6 6 6",
    "send_chat": "M3 4h13v9H9l-4 3v-3H3zM9 16h6l4 3v-3h2V8h-3",
    "notify": "M6 16v-5a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
    "create_task": "M4 4h16v16H4zM8 12l3 3 5-6",
    "human_task": "M12 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM5 20c0-4 3-6 7-6s7 2 7 6",
    "wait": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.500 2",
    "wait_for": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 8v5M12 16v.5",
    "condition": "M12 3l9 9-9 9-9-9zM12 8v5M12 15.500v.5",
    "switch": "M12 3v5M12 8L5 14v6M12 8l7 6v6M12 8v12",
    "split": "M12 3v7M12 10L5 20M12 10l7 10",
    "parallel": "M12 3v4M5 7h14M5 7v10M12 7v10M19 7v10M5 17h14M12 17v4",
    "loop": "M17 3l3 3-3 3M20 6H8a4 4 0 0 0-4 4v2M7 21l-3-3 3-3M4 18h12a4 4 0 0 0 4-4v-2",
    "call": "M4 4h7v7H4zM13 13h7v7h-7zM11 7.500h5.500V13",
    "code": "M8 7l-5 5 5 5M16 7l5 5-5 5M13.500 5l-3 14",
    "call_api": "M9 9a4 4 0 1 0-4 6M9 9l6 0M15 9a4 4 0 1 1 4 6M7 15h10",
    "update_record": "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
    "create_record": "M12 5v14M5 12h14",
    "find_records": "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5",
    "set_variable": "M8 4C5 4 6 9 6 10s-1 2-2 2c1 0 2 1 2 2s-1 6 2 6M16 4c3 0 2 5 2 6s1 2 2 2c-1 0-2 1-2 2s1 6-2 6",
    "add_to_segment": "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 19c0-3 2.500-5 6-5s6 2 6 5M18 8v6M15 11h6",
    "remove_from_segment": "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 19c0-3 2.500-5 6-5s6 2 6 5M15 11h6",
    "create_segment": "M4 6h16M7 12h10M10 18h4",
    "enroll": "M4 12h12M12 7l5 5-5 5M20 5v14",
    "unenroll": "M20 12H8M12 7l-5 5 5 5M4 5v14",
    "end": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9 9h6v6H9z",
}
OTHER: Final = "M13 3L5 14h6l-1 7 8-11h-6z"


def icon_path(kind: str) -> str:
    """The path of an action's icon; a bolt for those of a project."""
    return ICONS.get(kind, OTHER)
