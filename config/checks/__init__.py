"""System checks of every setting that can be wrong: each has an id, says what is wrong, and how to mend it."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from django.core.checks import CheckMessage, Tags, register

from config.checks import database, engine, mail, outbound, queue, web


class Check(Protocol):
    """What Django calls."""

    def __call__(self, app_configs: Any, **kwargs: Any) -> list[CheckMessage]: ...


ALWAYS: Final[Sequence[Check]] = (
    web.check_secret_key,
    web.check_base_url,
    web.check_trusted_proxies,
    web.check_encryption_keys,
    web.check_rates,
    database.check_engine,
    database.check_pool,
    database.check_sqlite,
    queue.check_cluster,
    queue.check_times,
    queue.check_worker,
    engine.check_clock,
    engine.check_numbers,
    engine.check_pace,
    engine.check_lease,
    engine.check_actions,
    engine.check_subjects,
    engine.check_paths,
    outbound.check_allowed_targets,
    outbound.check_ports_and_seconds,
    mail.check_sender,
    mail.check_timeout,
    mail.check_providers,
)
# Right on a laptop, wrong where others depend on it: `check --deploy` asks.
BEFORE_DEPLOYING: Final[Sequence[Check]] = (
    web.check_hosts,
    web.check_https,
    web.check_shared_cache,
    mail.check_mail_leaves,
)


def register_all() -> None:
    """Once, when the project is ready."""
    for check in ALWAYS:
        register(check, Tags.security)
    for check in BEFORE_DEPLOYING:
        register(check, Tags.security, deploy=True)
