"""Whether the process lives, and whether it can do its work."""

from collections.abc import Callable

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

Check = Callable[[], tuple[str, bool, str]]


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when every check of `HEALTH_CHECKS` passes, else 503 with what is wrong."""
    results = [check() for check in _checks()]
    well = all(ok for _, ok, _ in results)
    checks = {name: {"status": "ok" if ok else "failed", "detail": detail} for name, ok, detail in results}
    return JsonResponse({"status": "ok" if well else "failed", "checks": checks}, status=200 if well else 503)


def _checks() -> list[Check]:
    return [import_string(path) for path in settings.HEALTH_CHECKS]


def database() -> tuple[str, bool, str]:
    """The database answers a query."""
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "database", False, "The database does not answer."
    return "database", True, ""


def migrations() -> tuple[str, bool, str]:
    """Every migration of this code has been applied."""
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "migrations", False, "The database does not answer."
    return "migrations", not missing, f"{len(missing)} to apply: run manage.py migrate." if missing else ""
