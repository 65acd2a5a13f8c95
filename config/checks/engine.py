"""Checks of the engine's settings: clock, sizes, leases, actions and the records pipelines are about."""

from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.module_loading import import_string

from pipelines.actions.base import Kind
from pipelines.definition.pacing import parse_throttles
from pipelines.definition.windows import WindowError

# Name: lowest, highest.
NUMBERS: Final[dict[str, tuple[float, float]]] = {
    "PIPELINES_BATCH_SIZE": (1, 10_000),
    "PIPELINES_TICK_SECONDS": (1, 3_600),
    "PIPELINES_SEND_GROUP": (1, 200),
    "PIPELINES_CIRCUIT_RECORDS": (0, 1_000),
    "PIPELINES_CIRCUIT_SHARE": (0.01, 1),
    "PIPELINES_CIRCUIT_SECONDS": (60, 7 * 86_400),
    "PIPELINES_HOOK_DAYS": (1, 3_650),
    "PIPELINES_MAX_STEPS": (1, 1_000),
    "PIPELINES_MAX_DOCUMENT_BYTES": (1_024, 100 * 1024 * 1024),
    "PIPELINES_MAX_CONTEXT_BYTES": (1_024, 100 * 1024 * 1024),
    "LOGIN_ATTEMPTS_PER_ACCOUNT": (1, 1_000),
    "LOGIN_ATTEMPTS_PER_ADDRESS": (1, 100_000),
    "LOGIN_ATTEMPTS_WINDOW": (1, 86_400),
}


def check_clock(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E050: whoever may set the clock may send everything at once."""
    if not settings.PIPELINES_TEST_CLOCK or settings.DEBUG:
        return []
    hint = "Unset PIPELINES_TEST_CLOCK; it is for tests, with DEBUG=1."
    return [Error("The engine's clock can be set through the API.", hint=hint, id="crm.E050")]


def check_numbers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E051: sizes that stop the engine, or the machine."""
    return [
        Error(f"{name} is {getattr(settings, name)}.", hint=f"Choose between {low} and {high}.", id="crm.E051")
        for name, (low, high) in NUMBERS.items()
        if not low <= getattr(settings, name) <= high
    ]


def check_pace(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E057: a pace that cannot be read would keep every message."""
    try:
        parse_throttles(settings.PIPELINES_PACE)
    except WindowError as error:
        hint = 'Write an object of channels, such as {"email": "6000 per hour"}.'
        return [Error(f"PIPELINES_PACE: {error}.", hint=hint, id="crm.E057")]
    return []


def check_lease(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E052, crm.E053: a lease outlives the task that holds it, and what is begun in its last part."""
    from pipelines.engine.deliver import LEASE_MARGIN  # starting does not need the engine, checking does

    found: list[CheckMessage] = []
    timeout = settings.Q_CLUSTER.get("timeout") or 0
    lease = settings.PIPELINES_LEASE_SECONDS
    if lease <= max(timeout, LEASE_MARGIN * 2):
        hint = f"Raise it above {max(timeout, LEASE_MARGIN * 2):g}: a message could be sent by two workers."
        found.append(Error(f"PIPELINES_LEASE_SECONDS ({lease}) ends before a task does.", hint=hint, id="crm.E052"))
    for name in ("EMAIL_TIMEOUT", "OUTBOUND_HTTP_SECONDS"):
        if (getattr(settings, name) or 0) >= LEASE_MARGIN:
            hint = f"Lower it below {LEASE_MARGIN:g}: leases leave that long for the last message or call."
            found.append(Error(f"{name} is longer than what a lease has left.", hint=hint, id="crm.E053"))
    return found


def check_actions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E054: custom actions are found at the start and not when the first run needs one."""
    found: list[CheckMessage] = []
    codes: set[str] = set()
    for dotted in settings.PIPELINES_ACTIONS:
        problem = _problem_of_action(dotted, codes)
        if problem:
            hint = "PIPELINES_ACTIONS lists dotted paths of subclasses of Kind whose codes begin with 'custom.'."
            found.append(Error(f"PIPELINES_ACTIONS: {dotted}: {problem}", hint=hint, id="crm.E054"))
    return found


def _problem_of_action(dotted: str, codes: set[str]) -> str:
    try:
        action = import_string(dotted)
    except (ImportError, ImproperlyConfigured) as error:
        return str(error)
    if not (isinstance(action, type) and issubclass(action, Kind)):
        return "it is not an action."
    if not action.code.startswith("custom."):
        return f"its code is {action.code!r}."
    if action.code in codes:
        return f"its code {action.code!r} is given twice."
    codes.add(action.code)
    return ""


def check_subjects(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E055: a run stores the record it is about as one integer, and belongs to its team."""
    found: list[CheckMessage] = []
    for label in settings.PIPELINES_SUBJECTS:
        problem = _problem_of_subject(label)
        if problem:
            hint = "Pipelines can be about models with an integer primary key and a team."
            found.append(Error(f"PIPELINES_SUBJECTS: {label}: {problem}", hint=hint, id="crm.E055"))
    return found


def _problem_of_subject(label: str) -> str:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return "there is no such model."
    if not isinstance(model._meta.pk, models.IntegerField):
        return "its primary key is not an integer."
    if "team" not in {field.name for field in model._meta.get_fields()}:
        return "it belongs to no team."
    return ""


def check_paths(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E056: a health check that cannot be imported makes every probe fail."""
    found: list[CheckMessage] = []
    for dotted in settings.HEALTH_CHECKS:
        try:
            import_string(dotted)
        except ImportError as error:
            hint = "HEALTH_CHECKS lists dotted paths of functions."
            found.append(Error(f"HEALTH_CHECKS: {dotted}: {error}", hint=hint, id="crm.E056"))
    return found
