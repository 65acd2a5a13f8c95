"""What steps hand over to other pipelines of the team, held to the variables that those declare."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from crm.models import Team
from pipelines.definition.certainty import certain_misfit
from pipelines.definition.document import Problem
from pipelines.definition.layout import every_place
from pipelines.definition.shapes import spoken_path
from pipelines.definition.values import is_dynamic
from pipelines.models import Pipeline

# Under which parameter the values stand.
_VALUES: Final = {"call": "set", "enroll": "variables"}


def handed_over_problems(document: Mapping[str, Any], team: Team, *, beside: Collection[str] = ()) -> Iterator[Problem]:
    """One statement for all pipelines named; of those in `beside`, which come with this one, nothing is known yet."""
    places = [place for place in every_place(document) if place.step["type"] in _VALUES]
    named = {str(place.step["with"]["pipeline"]) for place in places} - {*beside, str(document.get("key"))}
    declared = dict(Pipeline.objects.for_team(team).filter(key__in=named).values_list("key", "variables"))
    types = _types(document.get("variables", []))
    for place in places:
        name, given = _VALUES[place.step["type"]], place.step["with"]
        variables, values = declared.get(given["pipeline"]), given.get(_VALUES[place.step["type"]]) or {}
        if variables is None or is_dynamic(values) or not isinstance(values, Mapping):
            continue
        for key, kind in _types(variables).items():
            at = spoken_path((*place.at, "with", name, key))
            wrong = certain_misfit(kind, values.get(key), types)
            if wrong:
                yield Problem(at, f"{wrong}: the variable '{key}' of '{given['pipeline']}' is of the type {kind}")
        for each in variables:
            if each.get("required") and "default" not in each and values.get(each["name"]) is None:
                at = spoken_path((*place.at, "with", name))
                yield Problem(at, f"'{given['pipeline']}' needs a value for its variable '{each['name']}'")


def _types(variables: Any) -> dict[str, str]:
    return {each["name"]: str(each.get("type", "any")) for each in variables}
