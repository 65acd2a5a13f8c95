"""Which record somebody means who writes its number, or words of a contact."""

from typing import Final

from contacts.models import Contact
from contacts.queries import search
from pipelines.models import Pipeline
from pipelines.subjects import SubjectType

_FOUND: Final = 8


class NotNamedError(ValueError):
    """No record is meant by the text; says what to write instead, as a sentence without its capital and period."""


def record_named(pipeline: Pipeline, kind: SubjectType | None, text: str) -> tuple[int | None, list[Contact]]:
    """The id of the record that is meant, or the contacts among which one must choose; neither where none is wanted.

    A number is taken as it is, without looking it up. Raises NotNamedError.
    """
    text = text.strip()
    if kind is None:
        return None, []
    if text.isascii() and text.isdigit() and len(text) < 18:
        return int(text), []
    if kind.model is not Contact or not text:
        raise NotNamedError(f"give the number of a {kind.name}")
    rows = search(contacts=Contact.objects.for_team(pipeline.team), text=text, team=pipeline.team)
    found = list(rows.order_by("-pk")[:_FOUND])
    if not found:
        raise NotNamedError(f"nobody is found by “{text[:60]}”")
    return (found[0].pk, []) if len(found) == 1 else (None, found)
