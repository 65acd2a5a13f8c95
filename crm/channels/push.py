"""Push messages to all devices of one person: accepted when one of them was reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from crm.channels.base import Delivered, DeliveryResult, Refused, Unknown
from crm.channels.letters import Letter, Target


class Transport(Protocol):
    """A way to one kind of device."""

    def send(self, target: Target, letter: Letter) -> DeliveryResult:
        """Hand one letter over for one device; never raises."""


@dataclass(frozen=True, slots=True)
class Push:
    """The transports of a team by kind of device."""

    transports: Mapping[str, Transport]
    many_at_once = True

    def deliver(self, letter: Letter) -> DeliveryResult:
        """Hand one letter over for every device of its receiver; devices that are gone are told as lost."""
        targets = letter.targets or tuple(Target("fcm", token) for token in letter.to)
        results = [(target, self._send(target, letter)) for target in targets]
        lost = tuple(target.token for target, result in results if isinstance(result, Refused) and result.gone)
        reached = [result for _, result in results if isinstance(result, Delivered)]
        if reached:
            detail = {"devices": len(reached)}
            return Delivered(reference=reached[0].reference, detail=detail, lost=lost)
        for _, result in results:
            if isinstance(result, Unknown):
                return result
        refused = [result for _, result in results if isinstance(result, Refused)]
        # What time may mend is worth another attempt, whatever the other devices say.
        first = next((result for result in refused if not result.permanent), refused[0])
        if len(lost) == len(results):
            sentence = "No device of this contact takes push messages any more."
            return Refused(code=first.code, detail=sentence, permanent=True, gone=True, lost=lost)
        return Refused(
            code=first.code, detail=first.detail, permanent=first.permanent, retry_after=first.retry_after, lost=lost,
            away=first.away if all(result.away != "no" for result in refused) else "no",
        )  # fmt: skip

    def _send(self, target: Target, letter: Letter) -> DeliveryResult:
        transport = self.transports.get(target.kind)
        if transport is None:
            kind = "browsers (Web Push)" if target.kind == "webpush" else "apps (Firebase)"
            return Refused(code="validation", detail=f"This team has no channel for {kind}.", permanent=True)
        return transport.send(target, letter)
