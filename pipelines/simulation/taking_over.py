"""A real record as a sample of a story: what decides its way stays, who it is does not."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from crm.models import Team
from pipelines.definition.layout import every_place, subject_names
from pipelines.definition.reading import Path, Reads, reads_of, reads_of_rules, reads_of_trigger
from pipelines.engine.plain import plain
from pipelines.personal import personal_names
from pipelines.simulation.samples import own_sample
from pipelines.simulation.scenario import ScenarioError
from pipelines.simulation.stage import SAMPLE
from pipelines.simulation.world import subject_kind
from pipelines.subjects import SubjectType

# What names or reaches somebody, and what stands in its place.
MADE_UP: Final[Mapping[str, str]] = {
    **SAMPLE, "phone": "+12025550123", "domain": "example.com", "website": "https://example.com/",
    "address": "1 Sample Street",
}  # fmt: skip
# Read by sending and by templates without being named; they name nobody.
ALWAYS: Final = ("email", "phone", "timezone", "language")
NEVER: Final = frozenset({"id", "team_id", "model", "custom"})
OWNER: Final[Mapping[str, str]] = {"email": "owner@example.com", "first_name": "Olga", "last_name": "Owner"}
MANAGER: Final[Mapping[str, str]] = {"email": "manager@example.com", "first_name": "Max", "last_name": "Manager"}


class TakenOver(NamedTuple):
    """The sample, and the names of what is the record's own in it."""

    sample: dict[str, Any]
    kept: tuple[str, ...]


def taken_over(*, team: Team, document: Mapping[str, Any], record: int) -> TakenOver:
    """Only the fields that the pipeline reads, without ids and without what is marked as personal.

    Names, addresses and numbers are made up where the record has some. Raises ScenarioError for no such record.
    """
    kind = subject_kind(document)
    if kind is None or not kind.records(team.pk).filter(pk=record).exists():
        raise ScenarioError("subject", f"there is no record {record} in this team that this pipeline is about")
    data = plain(kind.load([record])[record])
    personal = personal_names(team_id=team.pk)
    sample: dict[str, Any] = own_sample(kind.record_type, team=team) if kind.record_type else {}
    kept = []
    for path in sorted({*_read(document), *((name,) for name in ALWAYS if name in kind.plain)}):
        for name in _names(kind, path):
            if name in NEVER or name in personal or (kind.record_type and name not in sample):
                continue
            if data.get(name) is None or (data[name] == "" and name in kind.plain):
                sample.pop(name, None)
            elif name in kind.relations:
                sample[name] = _related(name, data[name], path[1:], before=sample.get(name))
            elif name in MADE_UP and not kind.record_type:
                sample[name] = MADE_UP[name] if data[name] else data[name]
            elif not _reaches(data[name]):
                sample[name] = data[name]
                kept.append(name)
    return TakenOver(sample, tuple(dict.fromkeys(kept)))


def _read(document: Mapping[str, Any]) -> Iterator[Path]:
    """What steps, rules and ways in read of the subject, without its own name."""
    names = subject_names(document)
    for path, _ in (each for reads in _all_reads(document) for each in reads.paths):
        if path[0] in names and len(path) > 1:
            yield path[2:] if path[1] == "custom" and len(path) > 2 else path[1:]
    for trigger in document.get("triggers") or ():
        yield from ((str(name),) for name in trigger.get("fields") or ())


def _all_reads(document: Mapping[str, Any]) -> Iterator[Reads]:
    yield from (reads_of(place.step) for place in every_place(document))
    yield from (reads for _, reads in reads_of_rules(document))
    yield from (reads_of_trigger(trigger) for trigger in document.get("triggers") or ())


def _names(kind: SubjectType, path: Path) -> tuple[str, ...]:
    """The columns or values behind a path; a name is made of its parts."""
    return tuple(sorted(kind.name_parts)) if path[0] == "name" and kind.name_parts else path[:1]


def _reaches(value: Any) -> bool:
    """Whether a value looks like an address, wherever it stands."""
    return "@" in str(value)


def _related(name: str, record: Mapping[str, Any], read: Path, *, before: Any) -> dict[str, Any]:
    if name == "owner":
        return _owner(record, read, before)
    needed = "name" if name == "company" else "first_name"
    found: dict[str, Any] = {needed: MADE_UP[needed], **(before or {})}
    field = read[0] if read else ""
    if field and field not in NEVER and record.get(field) is not None:
        value = record[field]
        found[field] = (MADE_UP[field] if value else "") if field in MADE_UP else value
    return found


def _owner(record: Mapping[str, Any], read: Path, before: Any) -> dict[str, Any]:
    """Made up, as is the manager where the owner has one and the pipeline reads of them."""
    found = dict(before or OWNER)
    if record.get("manager") is not None and read[:1] in ((), ("manager",)):
        found["manager"] = dict(MANAGER)
    return found
