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
EMAIL: Final = "email"
PHONE: Final = "phone"
# What the identity in another system is called when a heading says no more.
EXTERNAL_ID: Final = "custom.external_id"
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
        EXTERNAL_ID: "external id|externalid|external key|externe id|id externe|id externo",
    }.items()
    for title in titles.split("|")
}


def is_key(key: str) -> bool:
    """Whether contacts can be recognized by this field."""
    return key in (EMAIL, PHONE) or _is_custom(key)


def full_key(written: str) -> str:
    """A key as people write it, who may say `external_id` for short."""
    return EXTERNAL_ID if written == EXTERNAL_ID.removeprefix("custom.") else written


def spoken(target: str) -> str:
    """A field as it is said in a sentence."""
    return target.removeprefix("custom.").replace("_", " ")


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
    key: str = EMAIL,
    own: Mapping[str, str] | None = None,
) -> ColumnMap:
    """Map by title; `given` (title → field, `custom.<key>` or `-`) goes first.

    `own` are the fields that the team defines: `custom.<key>` by label and by key, folded.
    """
    wishes = _wishes(header, given or {}, own or {})
    taken: dict[str, str] = {}
    columns: list[Column] = []
    for index, title in enumerate(header):
        target, note = _target(title, wishes, unknown, own or {})
        if target and target in taken:
            target, note = "", f"“{taken[target]}” already fills {target}"
        if target:
            taken[target] = title
        columns.append(Column(index=index, title=title, target=target, note=note))
    if not (IDENTIFYING | ({key} - {EMAIL})) & set(taken):
        raise MappingProblem(
            "No column holds an email, a name or a phone number. The first line must name the"
            f" columns; it names: {', '.join(title or '(blank)' for title in header[:20])}."
        )
    return ColumnMap(columns=tuple(columns))


def columns_of(*, header: Sequence[str], targets: Sequence[str]) -> ColumnMap:
    """Columns as they were chosen, in the order of the file; one without a choice is not read."""
    chosen = [*targets, *[""] * len(header)]
    return ColumnMap(
        columns=tuple(Column(index=index, title=title, target=chosen[index]) for index, title in enumerate(header))
    )


def check_columns(columns: ColumnMap, *, key: str = EMAIL) -> None:
    """Refuse columns, as a person chose them, that name no field, one twice, or nobody at all."""
    if not is_key(key):
        raise MappingProblem(f"“{key}” is no key: use email, phone, external_id or custom.<key>.")
    taken: dict[str, str] = {}
    for column in columns.used:
        if column.target not in FIELDS and not _is_custom(column.target):
            raise MappingProblem(f"“{column.target}” is no field.")
        if column.target in taken:
            field = column.target.replace("_", " ")
            raise MappingProblem(f"“{taken[column.target]}” and “{column.title}” both fill {field}: choose one.")
        taken[column.target] = column.title
    if key != EMAIL and key not in taken:
        raise MappingProblem(f"Contacts are to be recognized by {spoken(key)}: choose the column that holds it.")
    if not (IDENTIFYING | ({key} - {EMAIL})) & set(taken):
        raise MappingProblem("Choose a column that holds an email, a name or a phone number.")


def _wishes(header: Sequence[str], given: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    titles = {folded(title) for title in header}
    wishes: dict[str, str] = {}
    for title, wanted in given.items():
        target = wanted if wanted in FIELDS else own.get(folded(wanted), wanted)
        if folded(title) not in titles:
            raise MappingProblem(f"The file has no column “{title}”: {', '.join(header[:20])}.")
        if target != IGNORED and target not in FIELDS and not _is_custom(target):
            raise MappingProblem(
                f"“{target}” is no field: use {', '.join(FIELDS)}, custom.<key>, or - to leave the column out."
            )
        wishes[folded(title)] = target
    if len(set(wishes.values()) - {IGNORED}) < len([w for w in wishes.values() if w != IGNORED]):
        raise MappingProblem("Two columns are mapped to the same field.")
    return wishes


def _is_custom(target: str) -> bool:
    return target.startswith("custom.") and bool(KEY.match(target.removeprefix("custom.")))


def _target(title: str, wishes: Mapping[str, str], unknown: str, own: Mapping[str, str]) -> tuple[str, str]:
    plain = folded(title)
    if plain in wishes:
        wish = wishes[plain]
        return ("", "left out as asked") if wish == IGNORED else (wish, "")
    if _is_custom(title.strip().lower()):
        return title.strip().lower(), ""
    if plain in own and _SYNONYMS.get(plain) not in IDENTIFYING:
        return ("", "mapped from another column") if own[plain] in wishes.values() else (own[plain], "")
    if plain in _SYNONYMS:
        target = _SYNONYMS[plain]
        return ("", "mapped from another column") if target in wishes.values() else (target, "")
    if plain in READ_ONLY:
        return "", "filled by the system"
    if not plain:
        return "", "has no title"
    if unknown == "custom":
        return f"custom.{key_from_header(plain)}", ""
    return "", "unknown column"


def folded(title: str) -> str:
    """The title in lower case without accents, punctuation and repeated spaces."""
    plain = unicodedata.normalize("NFKD", title)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", " ", plain.casefold()).strip()
