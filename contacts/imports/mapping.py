"""Which column of a file fills which field: by its title, or as a person says. No database."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from contacts.custom import KEY, key_from_header

# `full_name` is split into first and last name; the others are fields of a contact.
FIELDS: Final = (
    "first_name",
    "last_name",
    "full_name",
    "email",
    "phone",
    "job_title",
    "company",
    "owner",
    "lifecycle_stage",
    "lead_source",
    "timezone",
    "language",
    "tags",
)
IDENTIFYING: Final = frozenset({"first_name", "last_name", "full_name", "email", "phone"})
IGNORED: Final = "-"
# Columns that an export writes and that only the system may fill.
READ_ONLY: Final = frozenset({"id", "created at", "updated at", "last interaction"})

_SYNONYMS: Final[Mapping[str, str]] = {
    title: field
    for field, titles in {
        "first_name": "first name|firstname|given name|forename|vorname|prenom|nombre|nome",
        "last_name": "last name|lastname|surname|family name|nachname|nom|apellido|apellidos|cognome|sobrenome",
        "full_name": "full name|name|contact|contact name|nom complet|nombre completo",
        "email": "email|e mail|email address|e mail address|mail|work email|correo|"
        "correo electronico|adresse e mail|courriel",
        "phone": "phone|phone number|telephone|telefon|tel|mobile|mobile phone|cell|cell phone|"
        "handy|telefono|work phone",
        "job_title": "job title|title|position|role|job|function|beruf|poste|cargo",
        "company": "company|company name|organization|organisation|account|account name|employer|"
        "firma|unternehmen|societe|entreprise|empresa|azienda",
        "owner": "owner|contact owner|assigned to|account manager|besitzer",
        "lifecycle_stage": "lifecycle stage|stage|lifecycle|status|phase|contact stage",
        "lead_source": "lead source|source|origin|utm source|herkunft|quelle",
        "timezone": "timezone|time zone|tz|zeitzone",
        "language": "language|locale|lang|sprache|langue|idioma",
        "tags": "tags|tag|labels|label|groups|keywords",
    }.items()
    for title in titles.split("|")
}


class MappingProblem(Exception):
    """The columns do not fit; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the file and where its cells go; `target` is empty when they go nowhere."""

    index: int
    title: str
    target: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """What is read from each row."""

    columns: tuple[Column, ...]

    @property
    def used(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.target)

    @property
    def ignored(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if not column.target)


def map_columns(
    *,
    header: Sequence[str],
    given: Mapping[str, str] | None = None,
    unknown: Literal["ignore", "custom"] = "ignore",
) -> ColumnMap:
    """Map by title; `given` (title → field, `custom.<key>` or `-`) goes first."""
    wishes = _wishes(header, given or {})
    taken: dict[str, str] = {}
    columns: list[Column] = []
    for index, title in enumerate(header):
        target, note = _target(title, wishes, unknown)
        if target and target in taken:
            target, note = "", f"“{taken[target]}” already fills {target}"
        if target:
            taken[target] = title
        columns.append(Column(index=index, title=title, target=target, note=note))
    if not IDENTIFYING & set(taken):
        raise MappingProblem(
            "No column holds an email, a name or a phone number. The first line must name the"
            f" columns; it names: {', '.join(title or '(blank)' for title in header[:20])}."
        )
    return ColumnMap(columns=tuple(columns))


def check_columns(columns: ColumnMap) -> None:
    """Refuse columns, as a person chose them, that name no field, one twice, or nobody at all."""
    taken: dict[str, str] = {}
    for column in columns.used:
        if column.target not in FIELDS and not _is_custom(column.target):
            raise MappingProblem(f"“{column.target}” is no field.")
        if column.target in taken:
            field = column.target.replace("_", " ")
            raise MappingProblem(f"“{taken[column.target]}” and “{column.title}” both fill {field}: choose one.")
        taken[column.target] = column.title
    if not IDENTIFYING & set(taken):
        raise MappingProblem("Choose a column that holds an email, a name or a phone number.")


def _wishes(header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    titles = {_folded(title) for title in header}
    wishes: dict[str, str] = {}
    for title, target in given.items():
        if _folded(title) not in titles:
            raise MappingProblem(f"The file has no column “{title}”: {', '.join(header[:20])}.")
        if target != IGNORED and target not in FIELDS and not _is_custom(target):
            raise MappingProblem(
                f"“{target}” is no field: use {', '.join(FIELDS)}, custom.<key>, or - to leave the column out."
            )
        wishes[_folded(title)] = target
    if len(set(wishes.values()) - {IGNORED}) < len([w for w in wishes.values() if w != IGNORED]):
        raise MappingProblem("Two columns are mapped to the same field.")
    return wishes


def _is_custom(target: str) -> bool:
    return target.startswith("custom.") and bool(KEY.match(target.removeprefix("custom.")))


def _target(title: str, wishes: Mapping[str, str], unknown: str) -> tuple[str, str]:
    folded = _folded(title)
    if folded in wishes:
        wish = wishes[folded]
        return ("", "left out as asked") if wish == IGNORED else (wish, "")
    if _is_custom(title.strip().lower()):
        return title.strip().lower(), ""
    if folded in _SYNONYMS:
        target = _SYNONYMS[folded]
        return ("", "mapped from another column") if target in wishes.values() else (target, "")
    if folded in READ_ONLY:
        return "", "filled by the system"
    if not folded:
        return "", "has no title"
    if unknown == "custom":
        return f"custom.{key_from_header(folded)}", ""
    return "", "unknown column"


def _folded(title: str) -> str:
    """The title in lower case without accents, punctuation and repeated spaces."""
    plain = unicodedata.normalize("NFKD", title)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", " ", plain.casefold()).strip()
