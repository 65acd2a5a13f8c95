"""Many contacts in one request: validated one by one, looked up and created as one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from rest_framework.exceptions import ValidationError

from contacts import operations
from contacts.api.serializers import BulkContactSerializer
from contacts.models import Company
from crm.api.problems import flatten
from crm.models import Team
from crm.scoping import rows_of_team

Errors = dict[int, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """Ids in the order of the items, and the problems of skipped items with their paths."""

    ids: list[int]
    errors: list[dict[str, str]] = field(default_factory=list)


def create_in_bulk(*, team: Team, items: Sequence[Any], skip: bool, context: Mapping[str, Any]) -> Made:
    """Create the valid items; unless `skip`, one invalid item refuses all."""
    valid, errors = _validate(items, context)
    _look_up(valid, errors, "company", Company, team)
    _look_up(valid, errors, "owner", User, team)
    good = [values for index, values in valid.items() if index not in errors]
    if errors and (not skip or not good):
        raise ValidationError({"items": _in_order(errors)})
    contacts = operations.bulk_create_contacts(team=team, items=good)
    problems = flatten({"items": _in_order(errors)}) if errors else []
    return Made(ids=[contact.pk for contact in contacts], errors=problems)


def _validate(items: Sequence[Any], context: Mapping[str, Any]) -> tuple[dict[int, dict[str, Any]], Errors]:
    serializer = BulkContactSerializer(context=dict(context))
    valid: dict[int, dict[str, Any]] = {}
    errors: Errors = {}
    for index, item in enumerate(items):
        try:
            valid[index] = dict(serializer.run_validation(item))
        except ValidationError as wrong:
            errors[index] = wrong.detail  # type: ignore[assignment]
    return valid, errors


def _look_up(
    valid: Mapping[int, dict[str, Any]],
    errors: Errors,
    name: str,
    model: type[Model],
    team: Team,
) -> None:
    """Replace the ids under `name` by rows of the team, in one statement for all items."""
    wanted = {values[name] for values in valid.values() if values.get(name)}
    if not wanted:
        return
    rows = rows_of_team(model=model, team=team).filter(pk__in=wanted)
    found = {row.pk: row for row in rows}
    for index, values in valid.items():
        if values.get(name) is None:
            continue
        if values[name] in found:
            values[name] = found[values[name]]
        else:
            message = f'Invalid pk "{values[name]}" - object does not exist.'
            errors.setdefault(index, {})[name] = [message]


def _in_order(errors: dict[int, Any]) -> Any:
    return dict(sorted(errors.items()))
