"""Two hundred people who do not exist, the same ones every time."""

import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any, Final

FIRST: Final = (
    "Amélie", "Björn", "Chiara", "Dmitri", "Elif", "Fatima", "Günther", "Hanna", "Ikram", "Jörg", "Katarzyna",
    "Léa", "Mateo", "Nadia", "Oluwaseun", "Priya", "Quentin", "Rosa", "Søren", "Tomás", "Ulrike", "Vanessa",
    "Wojciech", "Xenia", "Yusuf", "Zoë", "Anna", "Ben", "Clara", "David",
)  # fmt: skip
LAST: Final = (
    "Almeida", "Bakker", "Çelik", "Dubois", "Eriksson", "Fischer", "García", "Horváth", "Ivanova", "Jensen",
    "Kowalski", "Lindqvist", "Müller", "Novák", "O'Brien", "Petrov", "Quispe", "Rossi", "Sørensen", "Tanaka",
    "Uzun", "Vogel", "Weiß", "Ximénez", "Yamada", "Zieliński", "Okafor", "Nguyen", "Haddad", "Meyer",
)  # fmt: skip
COMPANIES: Final = (
    ("Alder & Ash Furniture", "alder-ash.example", "Furniture"),
    ("Blue Kettle Tea", "bluekettle.example", "Food"),
    ("Cobble Street Bikes", "cobblestreet.example", "Retail"),
    ("Dune Optics", "duneoptics.example", "Manufacturing"),
    ("Elm Dental", "elmdental.example", "Health"),
    ("Foxglove Gardens", "foxglove.example", "Gardening"),
    ("Granite Legal", "granitelegal.example", "Law"),
    ("Harbor Freight Lines", "harborlines.example", "Logistics"),
    ("Iris Print", "irisprint.example", "Printing"),
    ("Juniper Software", "juniper-software.example", "Software"),
    ("Kiln Ceramics", "kiln.example", "Crafts"),
    ("Larch Architects", "larch.example", "Architecture"),
)
SOURCES: Final = ("Website", "Trade fair", "Referral", "Newsletter", "Phone")
STAGES: Final = ("subscriber", "lead", "lead", "lead", "qualified", "opportunity", "customer", "customer", "former")
ZONES: Final = (("Europe/Berlin", "de"), ("Europe/Paris", "fr"), ("Europe/Madrid", "es"), ("America/New_York", "en"))
TITLES: Final = ("Owner", "Buyer", "Head of marketing", "Office manager", "Engineer", "Director", "")
COUNT: Final = 200
# Fields of one's own, each of its model.
FIELDS: Final[tuple[dict[str, Any], ...]] = (
    {"model": "contacts.contact", "key": "interest", "label": "Interested in", "type": "select",
     "options": ["Kitchen", "Office", "Garden", "Shop"]},
    {"model": "contacts.contact", "key": "birthday", "label": "Birthday", "type": "date", "personal": True},
    {"model": "contacts.company", "key": "employees", "label": "Employees", "type": "integer"},
)  # fmt: skip


def people(count: int = COUNT) -> Iterator[dict[str, Any]]:
    """Values of contacts; `company` is an index into COMPANIES or None, and a few have no email."""
    chance, own = Random(7), Random(8)
    for index in range(count):
        first, last = FIRST[index % len(FIRST)], LAST[(index * 7 + index // len(FIRST)) % len(LAST)]
        company = chance.randrange(len(COMPANIES)) if chance.random() < 0.8 else None
        zone, language = chance.choice(ZONES)
        domain = COMPANIES[company][1] if company is not None else "mail.example"
        yield {
            "first_name": first,
            "last_name": last,
            "email": "" if index % 40 == 17 else f"{_plain(first)}.{_plain(last)}@{domain}",
            "phone": f"+49 30 5550{chance.randrange(10_000):04d}" if chance.random() < 0.6 else "",
            "job_title": chance.choice(TITLES),
            "company": company,
            "lifecycle_stage": chance.choice(STAGES),
            "lead_source": chance.choice(SOURCES),
            "timezone": zone,
            "language": language,
            "custom": _custom(own),
            "tags": chance.sample(["vip", "newsletter", "trade fair 2026", "gardening"], k=chance.randrange(3)),
        }


def _custom(chance: Random) -> dict[str, str]:
    found = {"interest": chance.choice(FIELDS[0]["options"])} if chance.random() < 0.7 else {}
    birthday = date(1955, 1, 1) + timedelta(days=chance.randrange(17_000))
    return {**found, "birthday": birthday.isoformat()} if chance.random() < 0.4 else found


def employees() -> Iterator[int]:
    """How many work for each company."""
    chance = Random(9)
    while True:
        yield chance.randrange(2, 180)


_LETTERS: Final = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "'": "", "ç": "c", "ñ": "n"})


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    return "".join(letter for letter in folded if letter.isascii() and letter.isalnum())
