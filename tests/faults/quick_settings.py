"""Settings of an installation whose supervisor loses patience within seconds."""

from config.settings import *  # noqa: F403

WORKER_STALE_SECONDS = 6.0
SILENCED_SYSTEM_CHECKS = ["crm.E037"]
