"""What steps hand over to other pipelines of the team, held to the variables that those declare."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.models import Team
from pipelines.definition.certainty import certain_misfit
from pipelines.definition.document import Problem
from pipelines.definition.layout import Place, every_place, subject_model
from pipelines.definition.reading import reads_of
from pipelines.definition.shapes import spoken_path
from pipelines.definition.values import is_dynamic
from pipelines.definition.variables import undeclared
from pipelines.models import Pipeline

# Under which parameter the values stand.
_VALUES: Final = {"call": "set", "enroll": "variables"}


@dataclass(frozen=True, slots=True)
class _Other:
    """Another pipeline: the variables it declares now, and those of what runs in it, which may be older."""

    variables: Sequence[Mapping[str, Any]]
    published: Mapping[str, Any]

    @property
    def names(self) -> set[str]:
        both = (*self.variables, *self.published.get("variables", ()))
        return {each["name"] for each in both}

    @property
    def reads_trigger(self) -> bool:
        """Whether it reads what it is called with beside its variables."""
        steps = every_place(self.published)
        return any(
            place.step["type"] == "code" or any(path[0] == "trigger" for path, _ in reads_of(place.step).paths)
            for place in steps
        )


def handed_over_problems(document: Mapping[str, Any], team: Team, *, beside: Collection[str] = ()) -> Iterator[Problem]:
    """One statement for all pipelines named; of those in `beside`, which come with this one, nothing is known yet."""
    places = [place for place in every_place(document) if place.step["type"] in _VALUES]
    others = _others({str(place.step["with"]["pipeline"]) for place in places} - {*beside}, document, team)
    types = _types(document.get("variables", []))
    for place in places:
        values, other = place.step["with"].get(_VALUES[place.step["type"]]) or {}, others.get(_key(place))
        if other is not None:
            yield from _other_records(place, other, subject_model(document))
        if other is not None and isinstance(values, Mapping) and not is_dynamic(values):
            yield from _misfits(place, values, other, types)
            yield from _undeclared(place, values, other)


def _others(keys: set[str], document: Mapping[str, Any], team: Team) -> dict[str, _Other]:
    own = str(document.get("key"))
    rows = Pipeline.objects.for_team(team).filter(key__in=keys - {own})
    found = {
        key: _Other(variables, published or {})
        for key, variables, published in rows.values_list("key", "variables", "current_version__document")
    }
    # Who calls itself is held to what stands here.
    return found | ({own: _Other(document.get("variables", []), document)} if own in keys else {})


def _other_records(place: Place, other: _Other, subject: str | None) -> Iterator[Problem]:
    """A pipeline goes on with the record that it is about; only one about nothing takes any."""
    given = place.step["with"]
    wanted = subject_model(other.published)
    if wanted is None or wanted == subject or (place.step["type"] == "enroll" and {"record", "model"} & given.keys()):
        return
    here = f"this one is about {subject}" if subject else "this one is about no record"
    yield Problem(spoken_path((*place.at, "with", "pipeline")), f"'{_key(place)}' is about {wanted}, {here}")


def _misfits(place: Place, values: Mapping[str, Any], other: _Other, types: Mapping[str, str]) -> Iterator[Problem]:
    """Values that never fit their variable, and required ones that are missing."""
    name = _VALUES[place.step["type"]]
    for key, kind in _types(other.variables).items():
        wrong = certain_misfit(kind, values.get(key), types)
        if wrong:
            at = spoken_path((*place.at, "with", name, key))
            yield Problem(at, f"{wrong}: the variable '{key}' of '{_key(place)}' is of the type {kind}")
    for each in other.variables:
        if each.get("required") and "default" not in each and values.get(each["name"]) is None:
            at = spoken_path((*place.at, "with", name))
            yield Problem(at, f"'{_key(place)}' needs a value for its variable '{each['name']}'")


def _undeclared(place: Place, values: Mapping[str, Any], other: _Other) -> Iterator[Problem]:
    """Values that nothing in the other pipeline reads; one that is called reads them as its trigger, too."""
    strange = undeclared(values, other.names, owner=f"'{_key(place)}'")
    if strange and not (place.step["type"] == "call" and other.reads_trigger):
        for key, sentence in strange.items():
            yield Problem(spoken_path((*place.at, "with", _VALUES[place.step["type"]], key)), sentence)


def _key(place: Place) -> str:
    return str(place.step["with"]["pipeline"])


def _types(variables: Any) -> dict[str, str]:
    return {each["name"]: str(each.get("type", "any")) for each in variables}
