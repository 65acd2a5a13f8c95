"""Which rows are about contacts that are known, which about new ones, and about which there is a doubt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contacts.imports.keys import found_by, holders_of, value_of_row
from contacts.imports.mapping import EMAIL, spoken
from contacts.imports.validate import NAMELESS, Values
from contacts.models import Contact
from crm.models import Team


@dataclass(kw_only=True)
class Matched:
    """Rows of new contacts, rows beside their contacts, and the reasons for the others by line."""

    fresh: list[Values] = field(default_factory=list)
    known: list[tuple[Contact, Values]] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


def match(*, team: Team, key: str, rows: Sequence[tuple[int, Values]]) -> Matched:
    """Find the contact of each row; several, or an address that another contact has, refuse it. Two statements."""
    found = found_by(team=team, key=key, values=[value_of_row(values, key) for _, values in rows])
    holders = _holders(team, key, rows)
    result = Matched()
    for line, values in rows:
        value = value_of_row(values, key)
        same = found.get(value, []) if value else []
        doubt = _doubt(values, key, same, holders)
        if doubt:
            result.refused[line] = doubt
        elif same:
            result.known.append((same[0], values))
        else:
            result.fresh.append(values)
    return result


def _holders(team: Team, key: str, rows: Sequence[tuple[int, Values]]) -> dict[str, list[int]]:
    """Who has the addresses of the rows, where rows are not recognized by them."""
    if key == EMAIL:
        return {}
    return holders_of(team=team, emails={values.email.lower(): values.email for _, values in rows if values.email})


def _doubt(values: Values, key: str, same: Sequence[Contact], holders: Mapping[str, list[int]]) -> str:
    """Why a row cannot be taken without a guess; empty when it can."""
    if len(same) > 1:
        ids = ", ".join(str(contact.pk) for contact in same[:5])
        return f"{len(same)} contacts have this {spoken(key)} ({ids}): merge them, or choose another key."
    others = [pk for pk in holders.get(values.email.lower(), []) if not same or pk != same[0].pk]
    if others:
        return f"Contact {others[0]} has this email, but not this {spoken(key)}."
    if not same and not values.is_named:
        return f"{NAMELESS} No contact has this {spoken(key)} either."
    if not same and values.lacks:
        return f"A new contact needs {' and '.join(values.lacks)}."
    return ""
