"""The sandbox of test runs: what would leave is looked at as if it would, kept, and answered; nothing leaves."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from crm.channels.base import Delivered, Refused
from crm.models import Message
from pipelines.engine.coded import run_code
from pipelines.engine.letters import letters_unwanted
from pipelines.engine.post import built, read_messages
from pipelines.engine.settle import Result, Skipped
from pipelines.models import Effect

# Nobody was asked, so every call is taken to have gone well.
ANSWERED: Final[Mapping[str, Any]] = {"status": 200, "body": {}}


def try_out(effects: Sequence[Effect], *, now: datetime) -> list[tuple[Effect, Result]]:
    """The answers of these effects of test runs, which are marked as begun; the payload of each stays as it is.

    A message that could not be built or that its reader does not want is refused as a real one is. Code runs, for it
    reaches nothing.
    """
    messages = read_messages([int(effect.payload["message"]) for effect in effects if "message" in effect.payload])
    unwanted = letters_unwanted(list(messages.values()))
    return [(effect, _answer(effect, messages, unwanted, now)) for effect in effects]


def _answer(
    effect: Effect, messages: Mapping[int, Message], unwanted: Mapping[int, tuple[str, str]], now: datetime
) -> Result:
    kind = effect.payload["kind"]
    if "message" in effect.payload:
        message = messages[effect.payload["message"]]
        if message.pk in unwanted:
            return Skipped(*unwanted[message.pk])
        mail = built(message) if kind == Effect.Kind.EMAIL else None
        return mail if isinstance(mail, Refused) else Delivered(reference="")
    if kind == Effect.Kind.CODE:
        return run_code(effect, now=now)
    return Delivered(reference="", detail=dict(ANSWERED) if kind == Effect.Kind.HTTP else {})
