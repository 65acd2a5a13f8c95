"""This project's engine, measured like its peers: a program of its own, with everybody waiting at the first step.

The message that the steps record is a task, and mail is rendered from templates before, as by the other ones.
"""

import os
import time
import tomllib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import django

from bench.peers.job import answer, arguments

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def main() -> None:
    options = arguments()
    os.environ.update(
        DEBUG="0", HTTPS="0", SECRET_KEY="benchmarks-only", PIPELINES_KICK="0", LOG_LEVEL="ERROR",
        EMAIL_URL="dummymail://", DJANGO_SETTINGS_MODULE="config.settings", DATABASE_URL=options.database,
    )  # fmt: skip
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    seconds = mail(options) if options.smtp else steps(options)
    connections.close_all()
    version = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"]
    answer(
        options, seconds, package=f"engine {version}",
        workers=f"{options.workers} process{'es' if options.workers > 1 else ''}",
        durability="a commit before and after each group of mails" if options.smtp
        else "a commit for the steps due at once of up to 1,000 contacts",
    )  # fmt: skip


def steps(options: Namespace) -> float:
    from bench.moving import by_engine, by_two_engines, rate_of

    contacts: int = options.contacts
    return contacts / rate_of(by_engine if options.workers == 1 else by_two_engines, contacts)


def mail(options: Namespace) -> float:
    """Seconds from everybody's message being queued to everybody's being sent."""
    from django.conf import settings

    from bench.mailing import LETTER
    from bench.moving import by_engine, by_two_engines
    from bench.scene import NOW, new_pipeline
    from crm.models import Message
    from pipelines.engine.advance import advance_lane
    from pipelines.engine.clock import pretend

    settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
    settings.EMAIL_HOST, _, port = options.smtp.partition(":")
    settings.EMAIL_PORT = int(port)
    pipeline = new_pipeline(contacts=options.contacts, steps=[LETTER])
    with pretend(NOW):
        while advance_lane(step_id=pipeline.steps.get().pk, now=NOW, limit=1_000).runs:
            pass
    seconds = _seconds(lambda: (by_engine if options.workers == 1 else by_two_engines)(pipeline))
    sent = Message.objects.for_team(pipeline.team).filter(state=Message.State.SENT)
    assert sent.count() == options.contacts
    return seconds


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
