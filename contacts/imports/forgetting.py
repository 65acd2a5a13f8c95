"""Rows of files about somebody who is erased: those refused are deleted, those still to come are passed over."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from contacts.imports.keys import Digits
from contacts.imports.seen import mark_of
from contacts.models import ContactImport, ImportProblem
from crm.channels.letters import phone_number
from crm.holdings import Person, whole_words

CHUNK: Final = 1000
# The end of a number, which stands in every spelling of it.
LAST_DIGITS: Final = 7


@dataclass(frozen=True, slots=True)
class Gone:
    """Who was erased since a file was brought, as marks that the salt of its import keys."""

    salt: str = ""
    marks: Collection[str] = ()

    def named(self, cells: Sequence[str]) -> bool:
        """Whether one of the cells is an address or a number of somebody who is gone."""
        return bool(self.marks) and not _marks(cells, self.salt).isdisjoint(self.marks)


NOBODY: Final = Gone()


def pass_over(person: Person) -> int:
    """Let imports that have not ended pass over the person's rows; in the transaction that erases. How many imports."""
    rows = ContactImport.objects.filter(team=person.team_id, forgotten_at=None, finished_at=None)
    kept = list(rows.select_for_update(of=("self",)).order_by("pk"))
    for row in kept:
        row.erased = sorted({*row.erased, *_marks(person.searched, row.salt)})
    ContactImport.objects.bulk_update(kept, ["erased"], batch_size=500)
    return len(kept)


def _marks(texts: Iterable[str], salt: str) -> set[str]:
    """An address in one spelling, and a number in one."""
    said = {form for text in texts for form in (text.strip().lower(), phone_number(text)) if form}
    return {mark_of(form, salt=salt).hex for form in said}


def forget_refused_rows(person: Person) -> int:
    """Delete the refused rows that name one of the person's addresses or numbers in a cell; how many."""
    return sum(ImportProblem.objects.filter(pk__in=mine).delete()[0] for mine in refused_rows(person))


def refused_rows(person: Person) -> Iterator[list[int]]:
    """Ids of the refused rows that name one of the person's addresses or numbers in a cell, some at a time.

    The database finds rows in which such a text stands anywhere, and their cells are compared here.
    """
    words = person.searched
    if not words:
        return
    exact = whole_words([word for word in words if not word.isdigit()])
    numbers = {phone_number(word) for word in words if "@" not in word} - {""}

    def named(cell: Any) -> bool:
        text = str(cell)
        return exact.search(text) is not None or phone_number(text) in numbers

    for rows in _chunks(_candidates(person.team_id, words, numbers)):
        mine = [pk for pk, cells in rows if any(map(named, cells))]
        if mine:
            yield mine


def _candidates(team_id: int, words: Sequence[str], numbers: set[str]) -> QuerySet[ImportProblem, Any]:
    text = Cast("cells", TextField())
    found = Q()
    for word in words:
        found |= Q(text__icontains=word) | Q(text__icontains=json.dumps(word)[1:-1])
    for number in numbers:
        found |= Q(digits__contains=number[-LAST_DIGITS:])
    rows = ImportProblem.objects.filter(upload__team_id=team_id).alias(text=text, digits=Digits(text))
    return rows.filter(found).order_by("pk").values_list("pk", "cells")


def _chunks(rows: QuerySet[ImportProblem, Any]) -> Iterator[list[tuple[int, list[Any]]]]:
    after = 0
    while some := list(rows.filter(pk__gt=after)[:CHUNK]):
        yield some
        after = some[-1][0]
