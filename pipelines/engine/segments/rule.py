"""The rule of a segment: checked when it is saved, asked of the database where that is exact, else evaluated."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.db.models import Count, Max, QuerySet

from contacts.models import Contact
from pipelines.definition.conditions import Condition, ConditionError, compile_condition
from pipelines.definition.meant import meant_by, places_of
from pipelines.definition.shapes import spoken_path
from pipelines.engine.segments.fields import lookup_for
from pipelines.engine.store.compiling import compiled
from pipelines.models import Event
from pipelines.subjects import SubjectType, among, subject_types

ROOTS: Final = frozenset({"contact", "subject", "record"})
DID: Final = ("times", "latest")
# Rows that are read and evaluated in one go where the database cannot be asked.
PAGE: Final = 2_000
_BY_CLOCK: Final = ("within_last", "not_within_last")
_NOT_TOLD: Final = ("owner", "did")


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition about contacts."""

    where: Any
    condition: Condition

    @property
    def did(self) -> frozenset[str]:
        """Types of events whose number or time it reads."""
        return frozenset(path[2] for path in self._fields() if path[1] == "did" and len(path) > 2)

    @property
    def reads_tags(self) -> bool:
        return any(path[1] == "tags" for path in self._fields())

    @property
    def moves_by_itself(self) -> bool:
        """Whether somebody may begin or cease to meet it though no contact changes: by the clock, or elsewhere."""
        return (
            "now" in self.condition.names
            or _by_clock(self.where)
            or any(path[1] in _NOT_TOLD for path in self._fields())
        )

    def contacts(self, team_id: int, *, now: datetime) -> QuerySet[Contact] | None:
        """Those who meet it as one query, None when they must be evaluated one by one."""
        asked = compiled(self.where, lookup=lookup_for(contact_kind(), more=True), roots=ROOTS, now=now)
        rows = Contact.objects.filter(team_id=team_id)
        if asked is None:
            return None
        if isinstance(asked, bool):
            return rows if asked else rows.none()
        return rows.filter(asked)

    def meets(self, record: Mapping[str, Any], *, now: datetime) -> bool:
        """Whether a contact, as `load` gives it, meets it; what cannot be worked out is not met."""
        verdict = self.condition.evaluate({**dict.fromkeys(ROOTS, record), "now": now})
        return verdict.met and not verdict.error

    def _fields(self) -> Iterator[tuple[str, ...]]:
        return (path for path in self.condition.paths if path[0] in ROOTS and len(path) > 1)


def contact_kind() -> SubjectType:
    return subject_types()[Contact._meta.label_lower]


def rule_of(where: Any) -> Rule:
    """The rule, compiled once for each text; raises ConditionError."""
    return _compiled(json.dumps(where, sort_keys=True))


@lru_cache(maxsize=1_000)
def _compiled(text: str) -> Rule:
    where = json.loads(text)
    return Rule(where, compile_condition(where, names=ROOTS | {"now", "trigger"}))


def problems(where: Any) -> list[str]:
    """What is wrong with a rule, as sentences."""
    if where in (None, "", [], {}):
        return ["Say who belongs to the segment: a rule needs at least one line."]
    try:
        unknown = list(_unknown(where))
        if unknown:
            return unknown
        rule = rule_of(where)
    except (ConditionError, TypeError, ValueError) as error:
        return [str(error)]
    if "trigger" in rule.condition.names:
        return ["A rule is about contacts as they are: changes and triggers have no place in it."]
    return [
        f"{'.'.join(path)}: say which event and what of it, such as contact.did.email_clicked.times "
        'or contact.did["order.paid"].latest.'
        for path in sorted(rule.condition.paths)
        if path[0] in ROOTS and path[1:2] == ("did",) and (len(path) != 4 or path[3] not in DID)
    ]


def _unknown(where: Any) -> Iterator[str]:
    """Names that mean nothing here, each with its place and what was meant; raises ConditionError."""
    known, contact = ROOTS | {"now", "trigger"}, contact_kind()
    words = {name: f"contact.{name}" for name in (*contact.plain, *contact.relations, *contact.derived, "tags", "did")}
    for path in sorted(compile_condition(where).paths):
        if path[0] not in known:
            for inside, place in places_of(path[:1], where, condition=True):
                at = f"{spoken_path(inside)}: " if inside else ""
                yield f"{at}unknown name '{path[0]}'{meant_by(path, known, words)}{place}"


def load(ids: Collection[int], rules: Iterable[Rule]) -> dict[int, dict[str, Any]]:
    """The contacts as rules read them: one statement, and one each for tags and events where a rule reads any."""
    wanted = list(rules)
    records = contact_kind().load(ids) if ids else {}
    if any(rule.reads_tags for rule in wanted):
        _add_tags(records)
    did = frozenset[str]().union(*(rule.did for rule in wanted))
    if did:
        _add_did(records, did)
    return records


def _add_tags(records: Mapping[int, dict[str, Any]]) -> None:
    for record in records.values():
        record["tags"] = []
    links = Contact.tags.through._default_manager.filter(contact_id__in=among(list(records)))
    for pk, name in links.order_by("tag__name").values_list("contact_id", "tag__name"):
        records[pk]["tags"].append(name)


def _add_did(records: Mapping[int, dict[str, Any]], types: Collection[str]) -> None:
    for record in records.values():
        record["did"] = {name: {"times": 0, "latest": None} for name in types}
    told = Event.objects.filter(
        subject_type=contact_kind().content_type_id, subject_id__in=among(list(records)), type__in=types
    )
    counted = told.order_by().values("subject_id", "type").annotate(n=Count("pk"), at=Max("occurred_at"))
    for pk, name, times, latest in counted.values_list("subject_id", "type", "n", "at"):
        records[pk or 0]["did"][name] = {"times": times, "latest": latest}


def _by_clock(where: Any) -> bool:
    if isinstance(where, Mapping):
        return where.get("operator") in _BY_CLOCK or any(_by_clock(part) for part in where.values())
    return isinstance(where, list | tuple) and any(_by_clock(part) for part in where)
