"""Records that exist only in a simulation, from the values of a scenario."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import models

from contacts.models import Record, RecordType
from contacts.record_fields import InvalidValues, checked
from crm.models import Member, Team
from crm.people import ImpossibleManager, set_manager
from pipelines.simulation.scenario import ScenarioError
from pipelines.subjects import OWN, RELATED_MODELS, SubjectType, subject_types


def make_records(given: Mapping[str, Sequence[Mapping[str, Any]]], *, team: Team) -> None:
    """Put the sample records of a scenario in place, by their kind; raises ScenarioError with its path."""
    for label, samples in given.items():
        for index, values in enumerate(samples):
            path = f"records.{label}[{index}]"
            if label.startswith(OWN):
                _make_own(label, values, team=team, path=path)
            elif label in subject_types():
                make_sample(subject_types()[label], values, team=team, path=path)
            else:
                known = ", ".join([*subject_types(), f"{OWN}<type>"])
                raise ScenarioError(f"records.{label}", f"is no kind of record; there are {known}")


def _make_own(label: str, values: Mapping[str, Any], *, team: Team, path: str) -> Record:
    kind = RecordType.objects.filter(team=team, key=label.removeprefix(OWN)).first()
    if kind is None:
        raise ScenarioError(f"records.{label}", f"there is no such type of record in {team.name}")
    try:
        return Record.objects.create(team=team, type=kind, values=checked(kind.fields, values))
    except InvalidValues as error:
        name, sentence = error.problems[0]
        raise ScenarioError(f"{path}.{name}", sentence) from None


def own_sample(key: str, *, team: Team) -> dict[str, Any]:
    """A value for every field of a type of record that the team defines, as its definition asks for it."""
    kind = RecordType.objects.filter(team=team, key=key).first()
    return {str(each["key"]): _own_value(each) for each in kind.fields} if kind is not None else {}


def _own_value(field: Mapping[str, Any]) -> Any:
    given: Mapping[str, Any] = {
        "integer": 1, "number": 1, "boolean": True, "date": "2027-03-01", "datetime": "2027-03-01T09:00:00Z",
        "email": "sample@example.com", "url": "https://example.com",
    }  # fmt: skip
    options = field.get("options") or [field.get("label") or field["key"]]
    return given.get(str(field.get("type")), options[0])


def make_sample(kind: SubjectType, values: Mapping[str, Any], *, team: Team, path: str = "subject") -> models.Model:
    """A record that exists only here, from the values of a scenario."""
    if kind.record_type:
        given = {name: value for name, value in values.items() if name not in ("id", "model")}
        return _make_own(kind.label, given, team=team, path=path)
    columns: dict[str, Any] = {}
    plain: dict[str, Any] = dict(values)
    custom = dict(plain.pop("custom", None) or {})
    for name in kind.relations:
        if name in plain:
            columns[name] = _related(name, plain.pop(name), team=team, path=f"{path}.{name}")
    moments = {name: plain.pop(name) for name in kind.moments & {"created_at", "updated_at"} if name in plain}
    name = plain.pop("name", None)
    if name is not None and "name" in kind.plain:
        columns["name"] = str(name)
    try:
        found, more = kind.split({name: value for name, value in plain.items() if name not in ("id", "model")})
    except ValueError as error:
        raise ScenarioError(path, str(error)) from None
    row = kind.model(team=team, **columns, **found)
    if hasattr(row, "custom"):
        row.custom = {**custom, **more}
    row.save()
    if moments:
        kind.model._default_manager.filter(pk=row.pk).update(**_moments(kind, moments, path))
    return row


def _moments(kind: SubjectType, values: Mapping[str, Any], path: str) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        column: Any = kind.model._meta.get_field(name)
        try:
            found[name] = column.to_python(value)
        except Exception:
            raise ScenarioError(f"{path}.{name}", "give a time such as 2027-03-01T12:00:00Z") from None
    return found


def _related(name: str, value: Any, *, team: Team, path: str) -> Any:
    if value is None:
        return None
    label = RELATED_MODELS[name]
    if label == "auth.user":
        return _member(value, team=team, path=path).user
    if isinstance(value, Mapping) and label in subject_types():
        return make_sample(subject_types()[label], value, team=team, path=path)
    raise ScenarioError(path, 'give its values, such as {"name": "Acme"}')


def _member(value: Any, *, team: Team, path: str) -> Member:
    """A member of the team by email; a stranger in the sample is made up with a membership.

    With `manager`, which is given as a member is, they work under that one in this story.
    """
    email = value.get("email") if isinstance(value, Mapping) else value
    if not isinstance(email, str) or "@" not in email:
        raise ScenarioError(path, "give the email of a member")
    names = value if isinstance(value, Mapping) else {}
    member = Member.objects.filter(team=team, user__email__iexact=email).select_related("user").first()
    if member is None:
        user = User.objects.create(
            username=email, email=email, first_name=str(names.get("first_name", "")),
            last_name=str(names.get("last_name", "")),
        )  # fmt: skip
        member = Member.objects.create(team=team, user=user)
    if "manager" in names:
        _put_under(names["manager"], member, team=team, path=f"{path}.manager")
    return member


def _put_under(value: Any, member: Member, *, team: Team, path: str) -> None:
    manager = None if value is None else _member(value, team=team, path=path)
    try:
        set_manager(member=member, manager=manager)
    except ImpossibleManager as error:
        raise ScenarioError(path, str(error)) from None
