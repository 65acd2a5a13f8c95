"""Checks of django-q2: the combinations that run tasks twice, for ever, or never."""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

# With any other the countdown of a task never meets zero exactly, and a hung worker is never ended.
GUARD_CYCLES: Final = (0.25, 0.5, 1)
MUST_BE: Final = {
    "max_attempts": (1, "crm.E032", "the engine repeats what must be repeated, and counts it"),
    "ack_failures": (True, "crm.E033", "a failed task would be offered again for ever"),
    "catch_up": (False, "crm.E034", "after a stop, every missed minute would be replayed"),
}
SETTLING: Final = 5.0
JUDGEMENT: Final = 30.0


def check_cluster(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E031 to crm.E035: how tasks are taken."""
    cluster = settings.Q_CLUSTER
    found: list[CheckMessage] = [
        Error(f"Q_CLUSTER[{name!r}] must be {wanted}.", hint=f"Otherwise {why}.", id=number)
        for name, (wanted, number, why) in MUST_BE.items()
        if cluster.get(name) is not wanted and cluster.get(name) != wanted
    ]
    if cluster.get("guard_cycle") not in GUARD_CYCLES:
        hint = "Set it to 0.5, 0.25 or 1: with other values a hung worker is never ended."
        found.append(Error("Q_CLUSTER['guard_cycle'] cannot count down to zero.", hint=hint, id="crm.E031"))
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3") and cluster.get("workers") != 1:
        hint = "Set Q_CLUSTER['workers'] to 1, or use PostgreSQL."
        found.append(Error("SQLite bears one worker.", hint=hint, id="crm.E035"))
    return found


def check_times(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E030, crm.E036: a task must be over before it is offered again, and a tick before it is ended."""
    cluster = settings.Q_CLUSTER
    timeout, retry = cluster.get("timeout"), cluster.get("retry")
    if not timeout or not retry:
        hint = "Set Q_TIMEOUT and Q_RETRY; the defaults fit each other."
        return [Error("Q_CLUSTER needs a timeout and a retry.", hint=hint, id="crm.E030")]
    found: list[CheckMessage] = []
    workers = cluster.get("workers") or 1
    floor = timeout * (cluster.get("queue_limit", workers**2) / workers + 1)
    if retry <= floor:
        hint = f"Raise Q_RETRY above {floor:g} or lower Q_TIMEOUT: waiting in the cluster's own queue counts too."
        found.append(Error(f"Q_RETRY ({retry}) lets a task run twice at once.", hint=hint, id="crm.E030"))
    longest = settings.PIPELINES_TICK_SECONDS + max(settings.EMAIL_TIMEOUT or 0, settings.OUTBOUND_HTTP_SECONDS)
    if longest + SETTLING > timeout:
        hint = (
            f"Raise Q_TIMEOUT to {longest + SETTLING:g} or more, or lower PIPELINES_TICK_SECONDS:"
            " the last message or call of a tick must be able to end."
        )
        found.append(Error(f"Q_TIMEOUT ({timeout}) ends ticks in the middle.", hint=hint, id="crm.E036"))
    return found


def check_worker(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """crm.E037 to crm.E039: how the cluster is watched."""
    found: list[CheckMessage] = []
    timeout = settings.Q_CLUSTER.get("timeout") or 0
    if timeout + JUDGEMENT > settings.WORKER_STALE_SECONDS:
        hint = f"Raise it to {timeout + JUDGEMENT:g} or more: a cluster may be silent for as long as one task takes."
        found.append(Error("WORKER_STALE_SECONDS restarts clusters that work.", hint=hint, id="crm.E037"))
    if timeout > settings.WORKER_GRACE_SECONDS:
        hint = f"Raise it above Q_TIMEOUT ({timeout}), or tasks are cut off whenever the worker is stopped."
        found.append(Warning("WORKER_GRACE_SECONDS is shorter than a task.", hint=hint, id="crm.W038"))
    for name in ("WORKER_HEARTBEAT", "WORKER_PING"):
        try:
            import_string(getattr(settings, name))
        except ImportError as error:
            hint = "It is the dotted path of a function."
            found.append(Error(f"{name} cannot be imported: {error}", hint=hint, id="crm.E039"))
    return found
