"""A restored installation holds still until somebody says go: the original may still be running beside it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pipelines.models import EngineState

HOLD: Final = "restored"


def is_held(states: Mapping[str, Any]) -> bool:
    """Whether one of the engine's notes says to hold still."""
    return HOLD in states


def held_since() -> datetime | None:
    """When the installation was restored that has not been started since."""
    return EngineState.objects.filter(name=HOLD).values_list("at", flat=True).first()


def holding(now: datetime) -> str:
    """The statement that a restore commits together with the restored rows; both databases read it."""
    values = f"'{HOLD}', '{now:%Y-%m-%d %H:%M:%S}+00:00', '{{}}'"
    return (
        f"INSERT INTO {EngineState._meta.db_table} (name, at, data) VALUES ({values})"  # noqa: S608 - words of ours
        " ON CONFLICT (name) DO UPDATE SET at = excluded.at"
    )


def start() -> bool:
    """Let the engine move; False when nothing held it."""
    return EngineState.objects.filter(name=HOLD).delete()[0] > 0
