"""Mail through SMTP, beside a floor that marks, sends over one connection and marks again, and a bare loop."""

import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage

from django.conf import settings

from bench import floors
from bench.scene import NOW, new_pipeline
from bench.table import Row, show
from crm.models import Message
from pipelines.engine.advance import advance_lane
from pipelines.engine.clock import pretend
from pipelines.engine.tick import process_due_runs
from pipelines.models import Effect, Pipeline

Way = Callable[[Pipeline, int], float]
GROUP = 50
TEXT = "Hello {{ contact.first_name }},\n\nthank you for joining us. Here is how to begin.\n\nYours, Acme\n"
LETTER = {"key": "letter", "type": "send_email", "with": {"subject": "Welcome {{ contact.first_name }}", "text": TEXT}}


def measure_mailing(*, mails: int, rounds: int) -> str:
    ways: Sequence[tuple[str, Way]] = (
        (f"floor: mark {GROUP}, send over one connection, mark them sent, by psycopg and smtplib", _by_hand),
        ("a bare smtplib loop, messages built before, nothing written", _bare),
        ("the engine", _by_engine),
    )
    rates: dict[str, list[float]] = {name: [] for name, _ in ways}
    with _sink() as port:
        settings.EMAIL_BACKEND = "crm.channels.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        for _ in range(rounds):
            for name, work in ways:
                rates[name].append(_rate(work, mails, port))
    rows = [Row(name, found) for name, found in rates.items()]
    table = show(f"## {mails:,} mails through SMTP", rows, unit="mails/s")
    return f"{table}\nThe engine reaches {rows[2].rate / rows[1].rate:.2f} of the bare loop.\n"


@contextmanager
def _sink() -> Iterator[int]:
    """A mail server in a process of its own, so that it shares no interpreter with the sender."""
    with subprocess.Popen([sys.executable, "-m", "bench.sink"], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield int(program.stdout.readline())
        finally:
            program.terminate()


def _rate(work: Way, size: int, port: int) -> float:
    """Mails per second, from being queued, with their rows, to being marked as sent."""
    pipeline = new_pipeline(contacts=size, steps=[LETTER])
    with pretend(NOW):
        while advance_lane(step_id=pipeline.steps.get().pk, now=NOW, limit=1_000).runs:
            pass
    seconds = work(pipeline, port)
    mine = Message.objects.for_team(pipeline.team)
    if work is _bare:
        # Nothing was written by it; whoever comes next must not find its mail waiting.
        Effect.objects.filter(status=Effect.Status.QUEUED).update(status=Effect.Status.DONE)
    else:
        assert mine.filter(state=Message.State.SENT).count() == size
    return size / seconds


def _by_engine(_: Pipeline, port: int) -> float:
    started = time.perf_counter()
    with pretend(NOW):
        while process_due_runs(budget_seconds=600).more:
            pass
    return time.perf_counter() - started


def _bare(pipeline: Pipeline, port: int) -> float:
    ready = [_built(*row) for row in Message.objects.for_team(pipeline.team).values_list(*_FIELDS)]
    started = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for recipient, content in ready:
            server.sendmail(SENDER, [recipient], content)
    return time.perf_counter() - started


TAKE = """
UPDATE crm_message SET state = 'sending' WHERE id IN (SELECT id FROM crm_message WHERE team_id = %s AND state = 'queued'
 ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id, recipient, subject, text, message_id
"""
SENT = "UPDATE crm_message SET state = 'sent', sent_at = %s WHERE id = ANY(%s) RETURNING run_id"
SETTLED = "UPDATE pipelines_effect SET status = 3, finished_at = %s WHERE run_id = ANY(%s)"
LOGGED = """
INSERT INTO pipelines_stepexecution (at, run_id, step_id, seq, attempt, event, outcome, started_at, finished_at, batch)
SELECT %s, r.id, 1, 1, 0, 0, 'next', %s, %s, gen_random_uuid() FROM unnest(%s::bigint[]) r(id)
"""
FINISHED = """
UPDATE pipelines_pipelinerun SET status = 4, next_step_at = NULL, dedup = NULL, finished_at = %s WHERE id = ANY(%s)
"""
SENDER = "hello@acme.example"
_FIELDS = ("recipient", "subject", "text", "message_id")


def _built(recipient: str, subject: str, text: str, message_id: str) -> tuple[str, bytes]:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SENDER, recipient, subject
    mail["Message-ID"] = message_id
    mail.set_content(text)
    return recipient, mail.as_bytes().replace(b"\n", b"\r\n")


def _by_hand(pipeline: Pipeline, port: int) -> float:
    started = time.perf_counter()
    with floors.connect() as database, smtplib.SMTP("127.0.0.1", port) as server:
        while rows := database.execute(TAKE, [pipeline.team_id, GROUP]).fetchall():
            for _, *fields in rows:
                recipient, content = _built(*fields)
                server.sendmail(SENDER, [recipient], content)
            ids = [row[0] for row in rows]
            with database.transaction():
                runs = [row[0] for row in database.execute(SENT, [NOW, ids]).fetchall()]
                database.execute(SETTLED, [NOW, runs])
                database.execute(LOGGED, [NOW, NOW, NOW, runs])
                database.execute(FINISHED, [NOW, runs])
    return time.perf_counter() - started
