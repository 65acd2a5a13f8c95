"""The permission matrix and the scopes of a key, applied to every view."""

from typing import Any

from django.http import HttpRequest
from rest_framework.permissions import BasePermission

from crm.models import ApiKey
from crm.permissions import allows

VERBS = {
    "list": "view",
    "retrieve": "view",
    "create": "add",
    "update": "change",
    "partial_update": "change",
    "destroy": "delete",
}
READING = frozenset({"view", "export", "logs"})


class MatrixPermission(BasePermission):
    """Lets a key do what its role may and its scopes do not withhold; a view without a resource is closed."""

    message = "The role or the scopes of this key do not allow this."

    def has_permission(self, request: HttpRequest, view: Any) -> bool:
        key = getattr(request, "auth", None)
        if not isinstance(key, ApiKey):
            return False
        resource, verb = (
            getattr(view, "resource", None),
            verb_of(view=view, method=request.method or ""),
        )
        if resource is None or verb is None:
            return False
        return may(key=key, resource=resource, verb=verb)


def verb_of(*, view: Any, method: str) -> str | None:
    """The verb of the matrix behind a call: own `verbs` first, by action or by method, then the usual ones."""
    action = getattr(view, "action", None) or method.lower()
    return getattr(view, "verbs", {}).get(action) or VERBS.get(action)


def may(*, key: ApiKey, resource: str, verb: str) -> bool:
    """True when the role of the key allows the verb and its scopes include it."""
    return allows(role=key.role, resource=resource, verb=verb) and in_scope(
        scopes=key.scopes, resource=resource, verb=verb
    )


def in_scope(*, scopes: list[str], resource: str, verb: str) -> bool:
    """No scopes mean everything; `x:write` includes `x:read`, and `*` is every resource."""
    if not scopes:
        return True
    wanted = {f"{resource}:write", "*:write"}
    if verb in READING:
        wanted |= {f"{resource}:read", "*:read"}
    return bool(wanted & set(scopes))
