"""What a post to a webhook may fill of the contact it makes: columns, tags, and own values of the team."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from contacts.models import Contact
from contacts.own_fields import checked_custom, definitions
from contacts.record_fields import InvalidValues
from crm.channels.letters import NO_NUMBER, number_problem
from crm.models import Team
from pipelines.definition.expressions import suggestion

COLUMNS: Final = (
    "first_name", "last_name", "phone", "job_title", "lifecycle_stage", "lead_source", "timezone", "language",
)  # fmt: skip
NO_FIELD: Final = "contacts have no such field."
# The address is the posted one, whatever a mapping says.
_OTHERS: Final = frozenset({"tags", "custom", "email"})


def fillable(*, team: Team | None) -> list[dict[str, str]]:
    """What a post can fill, as `name` and `label`; one statement."""
    words = {field.name: str(field.verbose_name) for field in Contact._meta.concrete_fields}
    columns = [{"name": name, "label": words[name]} for name in COLUMNS]
    own = definitions(team=team, model=Contact) if team else ()
    defined = [{"name": str(each["key"]), "label": str(each.get("label") or each["key"])} for each in own]
    return [*columns, {"name": "tags", "label": "tags, with commas between"}, *defined]


def strangers(*, team: Team, names: Iterable[str]) -> list[str]:
    """A sentence for each name that a new contact of the team cannot hold; one statement."""
    known = {*COLUMNS, *_OTHERS, *(str(field["key"]) for field in definitions(team=team, model=Contact))}
    return [
        f"{name}: {NO_FIELD} Write custom.{name} for a value without a definition{suggestion(name, known)}."
        for name in names
        if name not in known and not name.startswith("custom.")
    ]


def held(*, team_id: int, filled: Mapping[str, Any], left_out: dict[str, str]) -> dict[str, Any]:
    """What a post fills, own fields that the team defines as values of their types; a form need not fill them all.

    The sender was told that the post is taken, so a value that does not fit is added to `left_out`, with the reason,
    and never stops the others.
    """
    fields = definitions(team=team_id, model=Contact)
    defined = {str(field["key"]) for field in fields}
    own = {name for name in filled if name.startswith("custom.")} | defined & filled.keys()
    nested = filled.get("custom")
    given = {
        **(nested if isinstance(nested, dict) else {}),
        **{name.removeprefix("custom."): filled[name] for name in own},
    }
    try:
        custom = checked_custom(fields=fields, values=given)
    except InvalidValues as error:
        # Values that are too large together name no field of their own.
        unfit = {key for key, _ in error.problems} & given.keys() or defined
        left_out |= dict(error.problems)
        custom = checked_custom(fields=fields, values={key: given[key] for key in given.keys() - unfit})
    left_out |= dict.fromkeys(filled.keys() - own - _OTHERS - {*COLUMNS}, NO_FIELD)
    columns = {name: filled[name] for name in COLUMNS if name in filled and name not in own}
    if "phone" in columns and number_problem(str(columns["phone"])):
        # The sentence stays when the person is erased, so it does not say what was posted.
        left_out["phone"] = f"This {NO_NUMBER}"
        del columns["phone"]
    return {**columns, "tags": _tags(filled.get("tags")), "custom": custom}


def _tags(given: Any) -> list[str]:
    """Names of tags from a list, or from a text with commas."""
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    return [str(name) for name in names if isinstance(name, str | int)]
