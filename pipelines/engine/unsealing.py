"""Secrets put into requests by the process that sends them, and taken out of what comes back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crm.channels.answers import HttpAnswer
from crm.channels.base import DeliveryResult, Refused
from crm.channels.calls import BadRequest, parse_url
from crm.team_secrets import Opened, marks_in, opened, without_values
from pipelines.models import Effect

Marks = Mapping[str, tuple[int, str]]


class NotSent(Exception):
    """The request must not be made; the text says why and tells nothing secret."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What some requests carry: the genuine marks of each by its effect, and the secrets they stand for, opened."""

    marks: Mapping[int, Marks] = field(repr=False)
    opened: Mapping[tuple[int, str], Opened]


@dataclass(frozen=True, slots=True)
class Filled:
    """Headers with secrets in them, and the values that nothing that is kept may repeat."""

    headers: dict[str, str]
    values: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<headers with {len(self.values)} secrets>"

    def clean_answer(self, answer: HttpAnswer) -> HttpAnswer:
        """The answer without what it repeats of the secrets, before it is shortened."""
        if not self.values:
            return answer
        text = answer.body.decode("utf-8", "surrogateescape")
        return replace(answer, body=without_values(text, self.values).encode("utf-8", "surrogateescape"))

    def clean(self, result: DeliveryResult) -> DeliveryResult:
        """The result without what it repeats of the secrets."""
        return replace(result, detail=without_values(result.detail, self.values)) if self.values else result


def visit_of(effect: Effect) -> str:
    """The visit that an effect belongs to, as steps spell it."""
    return f"{effect.run_id}:{effect.seq}"


def secrets_for(effects: Sequence[Effect]) -> Secrets:
    """What these requests carry, opened; one statement, and none where they carry nothing."""
    carrying = [effect for effect in effects if effect.payload.get("secrets")]
    marks = {effect.pk: _marks(effect) for effect in carrying}
    return Secrets(marks, opened({found for each in marks.values() for found in each.values()}))


def filled(effect: Effect, secrets: Secrets) -> Filled:
    """The headers of a request with secrets where their marks stood; raises NotSent.

    `secrets` are those that `secrets_for` found for this request among others.
    """
    headers = {str(name).lower(): str(value) for name, value in effect.payload.get("headers", {}).items()}
    names = effect.payload.get("secrets") or ()
    if not names:
        return Filled(headers)
    marks = secrets.marks.get(effect.pk, {})
    unknown = sorted(set(names) - {name for _, name in marks.values()})
    if unknown:
        raise NotSent(
            f"Not sent: the SECRET_KEY that marked the secret {unknown[0]} here is gone. Retry the run from this step."
        )
    values = {text: _value(secrets, key, effect) for text, key in marks.items()}
    return Filled({name: _replaced(text, values) for name, text in headers.items()}, frozenset(values.values()))


def _marks(effect: Effect) -> Marks:
    return marks_in(json.dumps(effect.payload.get("headers", {})), visit=visit_of(effect))


def _value(secrets: Secrets, key: tuple[int, str], effect: Effect) -> str:
    found = secrets.opened.get(key)
    if found is None:
        raise NotSent(f"Not sent: the secret {key[1]} was deleted. Add it again under Team → Secrets.")
    if found.trouble:
        raise NotSent(f"Not sent: the secret {key[1]} cannot be opened. {found.trouble}")
    host = _host(effect)
    if host not in found.hosts:
        raise NotSent(f"Not sent: the secret {key[1]} may not be sent to {host}, only to {', '.join(found.hosts)}.")
    return found.value


def _host(effect: Effect) -> str:
    try:
        return parse_url(str(effect.payload["url"])).host
    except BadRequest as error:
        raise NotSent(str(error)) from None


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def refused(error: NotSent) -> Refused:
    """Trying again does not help before somebody did what the sentence says."""
    return Refused(code="validation", detail=str(error)[:400], permanent=True)
