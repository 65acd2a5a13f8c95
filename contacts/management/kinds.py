"""Which kind of record a command is about."""

from typing import Any, Final, NamedTuple

from django.core.management.base import CommandError

from contacts.models import Company, Deal, Record, RecordType
from crm.models import Team

UNKNOWN: Final = 2
MODELS: Final[dict[str, type[Any]]] = {"companies": Company, "deals": Deal}


class Kind(NamedTuple):
    """Companies, deals, or the records of a type of the team's own."""

    team: Team
    resource: str
    model: type[Any]
    type: RecordType | None

    def rows(self) -> Any:
        """All of them, oldest first."""
        rows = self.model.objects.for_team(self.team).order_by("pk")
        return rows if self.type is None else rows.filter(type=self.type)


def kind_named(*, team: str, name: str) -> Kind:
    """`companies`, `deals`, or the key of a type; raises CommandError with what there is."""
    found = Team.objects.filter(slug=team).first()
    if found is None:
        raise CommandError(f"There is no team {team}.", returncode=UNKNOWN)
    if name in MODELS:
        return Kind(found, name, MODELS[name], None)
    types = RecordType.objects.for_team(found)
    own = types.filter(key=name).select_related("team").first()
    if own is None:
        known = ", ".join([*MODELS, *types.order_by("key").values_list("key", flat=True)])
        raise CommandError(f"There is no kind of record {name}. Choose one of {known}.", returncode=UNKNOWN)
    return Kind(found, "records", Record, own)
