"""Code of steps may be written by those alone whom the matrix lets: on saving, importing, publishing and replaying."""

from collections.abc import Mapping
from typing import Any

from crm.api.permissions import may
from crm.models import ApiKey, Member, Team
from crm.permissions import allows
from pipelines.definition.layout import every_place
from pipelines.operations.records import user_of
from pipelines.operations.refusals import Refused

Written = frozenset[tuple[str, str]]


class MayNotWriteCode(Refused):
    """Somebody would bring code in who may not write it."""

    def __init__(
        self, sentence: str = "This brings in code, which only owners and admins of the team may write."
    ) -> None:
        super().__init__(sentence)


def code_in(document: Mapping[str, Any]) -> Written:
    """The code of a document, by the keys of its steps."""
    return frozenset(
        (place.key, str(place.step["with"].get("source", "")))
        for place in every_place(document)
        if place.step.get("type") == "code" and isinstance(place.step.get("with"), Mapping)
    )


def check_code(*, team: Team, by: object, before: Written, after: Written) -> None:
    """Raises MayNotWriteCode when code is new or changed and its author may not write it."""
    if after - before and not may_write_code(team=team, by=by):
        raise MayNotWriteCode


def check_replay(*, team: Team, by: object, document: Mapping[str, Any]) -> None:
    """Raises MayNotWriteCode when code would run once more because of somebody who may not write it."""
    if code_in(document) and not may_write_code(team=team, by=by):
        raise MayNotWriteCode("Replaying runs code again, which only owners and admins of the team may do.")


def may_write_code(*, team: Team, by: object) -> bool:
    """Whether somebody may write code; commands and the system act for whoever runs the installation."""
    # A key may do less than the person behind it.
    key = by if isinstance(by, ApiKey) else getattr(by, "acting_key", None)
    if key is not None:
        return may(key=key, resource="pipelines", verb="code")
    user = user_of(by)
    if user is None:
        return by is None
    if user.is_superuser:
        return True
    member = Member.objects.for_team(team).filter(user=user).first()
    return member is not None and allows(role=member.role, resource="pipelines", verb="code")
