"""The names that steps, triggers, goals and exits read and write, and from where each can be seen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .blocks import INDEX, JOIN_NAMES, local_names
from .certainty import certain_misfit
from .expressions import suggestion
from .flow import KindSpec
from .layout import Path, Place, context_names, every_place, inner_lists, own_parameters, scope_name, variable_names
from .meant import Fields, no_fields, unknown_name
from .reading import Reads, reads_of, reads_of_rules
from .shapes import Problem, spoken_path

EVENT = frozenset({"event"})
# Links of the one who reads a mail.
READER_LINKS = frozenset({"preferences_url", "unsubscribe_url"})
# Of a part that reads more names which mean nothing, the others are named, without what was meant and where.
_MOST_EXPLAINED = 20
_ONLY_OUTPUT = frozenset({"find_records", "code"})
# The conditions of a loop are asked before or after each round, which its index counts.
_ITERATING = frozenset({("with", "while"), ("with", "until")})


def check_names(
    document: Mapping[str, Any], *, kinds: Mapping[str, KindSpec], fields: Fields = no_fields
) -> Iterator[Problem]:
    """Names, variables and outputs that steps read and write; `fields` are those of the subject."""
    read: dict[str, str] = {}
    found = every_place(document)
    locals_of = _local_names_by_scope(document, found)
    for place in found:
        if place.step["type"] not in kinds:
            continue
        reads = reads_of(place.step)
        yield from check_reads(reads, place.at, document, fields, also=_more_names(place, locals_of))
        for inside, values in assignments(place.step).items():
            yield from check_assigned(values, (*place.at, *inside), document)
        for path, at in reads.paths:
            read.setdefault(_variable(path), spoken_path((*place.at, *at)))
    rules = list(reads_of_rules(document))
    for at, reads in rules:
        for path, inside in reads.paths:
            read.setdefault(_variable(path), spoken_path((*at, *inside)))
    yield from _check_written(document, read)
    yield from _check_used(found, [path for _, reads in rules for path, _ in reads.paths])


def check_reads(
    reads: Reads,
    at: Path,
    document: Mapping[str, Any],
    fields: Fields = no_fields,
    *,
    also: Callable[[Path], frozenset[str]] = lambda inside: frozenset(),
) -> Iterator[Problem]:
    """What cannot be read, and names that mean nothing; `also` gives the names known at one part only."""
    for fault in reads.faults:
        yield Problem(spoken_path((*at, *fault.at)), fault.message)
    everywhere = context_names(document)
    variables = variable_names(document)
    keys = {place.key for place in every_place(document)}
    strange = 0
    for path, inside in reads.paths:
        message = None
        known = everywhere | also(inside)
        if path[0] not in known and not _is_about_other_records(inside):
            strange += 1
            if strange <= _MOST_EXPLAINED:
                yield from unknown_name(path, (*at, *inside), document, known, fields)
            else:
                message = f"unknown name '{path[0]}'"
        elif path[0] == "vars" and len(path) > 1 and path[1] not in variables:
            message = f"there is no variable '{path[1]}'{suggestion(path[1], variables)}"
        elif path[0] == "steps" and len(path) > 1 and path[1] not in keys:
            message = f"there is no step '{path[1]}'{suggestion(path[1], keys)}"
        if message:
            yield Problem(spoken_path((*at, *inside)), message)


def assignments(step: Mapping[str, Any]) -> dict[Path, Mapping[str, Any]]:
    """The variables that a step writes, by the part of it that says so."""
    found: dict[Path, Mapping[str, Any]] = {("set",): step.get("set") or {}}
    given = step.get("with")
    if step.get("type") == "set_variable" and isinstance(given, Mapping):
        values = given.get("values")
        nested = isinstance(values, Mapping) and len(given) == 1
        found |= {("with", "values"): values} if isinstance(values, Mapping) and nested else {("with",): given}
    return found


def assigned(step: Mapping[str, Any]) -> frozenset[str]:
    """The names of the variables that a step writes."""
    return frozenset(name for values in assignments(step).values() for name in values)


def kept(step: Mapping[str, Any]) -> frozenset[str]:
    """The variables that a step leaves changed behind it: what it sets, and what a block exports."""
    exported = own_parameters(step).get("export", ()) if step.get("type") in ("parallel", "loop") else ()
    return assigned(step) | frozenset(exported)


def check_assigned(values: Mapping[str, Any], at: Path, document: Mapping[str, Any]) -> Iterator[Problem]:
    """Variables that are written without being declared, or certainly with something of another type."""
    declared = variable_names(document)
    for name in sorted(set(values) - declared):
        message = f"'{name}' is not declared in 'variables'{suggestion(name, declared)}"
        yield Problem(spoken_path((*at, name)), message)
    types = {each["name"]: each.get("type", "any") for each in document.get("variables", [])}
    for name, value in values.items():
        wrong = certain_misfit(types.get(name, ""), value, types)
        if wrong:
            yield Problem(spoken_path((*at, name)), f"{wrong}: the variable '{name}' is of the type {types[name]}")


def only_event(inside: Path) -> frozenset[str]:
    """Rules about an event may name it in all their parts."""
    return EVENT


def names_at(document: Mapping[str, Any]) -> Callable[[Place], frozenset[str]]:
    """Tells every root name that a step of a document may read, those of loops around it among them."""
    everywhere, locals_of = context_names(document), _local_names_by_scope(document, every_place(document))
    return lambda place: everywhere | _more_names(place, locals_of)(())


def _local_names_by_scope(document: Mapping[str, Any], found: Sequence[Place]) -> dict[str, frozenset[str]]:
    """The names of loops around each list of steps."""
    known: dict[str, frozenset[str]] = {"": frozenset()}
    for place in found:
        for inner in inner_lists(place.step):
            known[scope_name(place.key, inner.branch)] = known.get(place.scope, frozenset()) | local_names(place.step)
    return known


def _more_names(place: Place, locals_of: Mapping[str, frozenset[str]]) -> Callable[[Path], frozenset[str]]:
    around = locals_of.get(place.scope, frozenset())
    if place.step["type"] == "wait_for":
        around |= EVENT
    if place.step["type"] == "send_email":
        around |= READER_LINKS

    def known(inside: Path) -> frozenset[str]:
        if inside[:2] in _ITERATING:
            return around | {str(place.step["with"].get("index", INDEX))}
        return around | JOIN_NAMES if inside[:2] == ("with", "join") else around

    return known


def _is_about_other_records(inside: Path) -> bool:
    """The `where` of a search names fields of the records searched, not of the context."""
    return inside[:2] == ("with", "where")


def _check_written(document: Mapping[str, Any], read: Mapping[str, str]) -> Iterator[Problem]:
    written = {name for place in every_place(document) for name in assigned(place.step)}
    written |= {name for trigger in document.get("triggers", []) for name in trigger.get("set", {})}
    for variable in document.get("variables", []):
        name = variable["name"]
        is_given = name in written or "default" in variable or variable.get("required")
        if name in read and not is_given:
            message = f"the variable '{name}' is read but never written"
            yield Problem(read[name], message, "warning")


def _variable(path: tuple[str, ...]) -> str:
    """The name of the variable that a path would read."""
    return path[1] if path[0] == "vars" and len(path) > 1 else path[0]


def _check_used(found: Sequence[Place], also: Sequence[tuple[str, ...]]) -> Iterator[Problem]:
    """Steps that only make an output, which nobody reads; `also` are the paths that rules read."""
    if any(place.step["type"] == "code" for place in found[1:]):
        # Code is given everything, so nobody can tell.
        return
    every = [path for place in found for path, _ in reads_of(place.step).paths]
    paths = [path for path in (*every, *also) if path[0] == "steps"]
    if ("steps",) in paths:
        return
    read = {path[1] for path in paths}
    for place in found:
        if place.step["type"] in _ONLY_OUTPUT and not read & {place.key, place.parent}:
            yield Problem(spoken_path(place.at), f"nothing reads what '{place.key}' finds", "warning")
