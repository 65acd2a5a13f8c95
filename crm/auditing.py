"""Writing down who did what: names of fields, never their values."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.http import HttpRequest

from crm.addresses import client_address
from crm.models import AuditEntry, Team
from crm.permissions import RESOURCES


def audit_request(
    *,
    request: HttpRequest,
    action: str,
    target: object = "",
    fields: Iterable[str] = (),
    team: Team | None = None,
    **details: Any,
) -> None:
    """Record one act of the person or key behind `request`."""
    key = getattr(request, "auth", None)
    if fields:
        details["fields"] = sorted(fields)
    if team is None:
        team = key.team if key is not None else getattr(request, "team", None)
    AuditEntry.record(
        team=team or team_of(target),
        action=action,
        target=target,
        actor=getattr(request, "user", None),
        actor_label=f"key {key.name}" if key is not None else "",
        address=client_address(request),
        details=details,
    )


def team_of(row: object) -> Team | None:
    """The team a row belongs to, following its `team_lookup`."""
    found: Any = row if isinstance(row, models.Model) else None
    if isinstance(found, Team):
        return found
    for part in getattr(type(row), "team_lookup", "").split("__"):
        found = getattr(found, part, None) if part else None
    return found if isinstance(found, Team) else None


def resource_of(model: type[models.Model]) -> str:
    """The resource of the matrix that governs a model; a model nobody placed is an error, not a default."""
    label = model._meta.label_lower
    if label not in RESOURCES:
        raise LookupError(f"{label} has no resource: add it to crm.permissions.RESOURCES.")
    return RESOURCES[label]
