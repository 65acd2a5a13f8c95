"""Two clusters on two machines and one database: one is killed, one is cut off, the other finishes."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.chaos.network import Machine, machines, possible
from tests.chaos.server import Server, binaries
from tests.faults import oracle
from tests.faults.nursery import Nursery
from tests.faults.scenes import MARK
from tests.installation import Installation
from tests.pipelines.engine.building import email
from tests.project.processes import Program, eventually
from tests.sinks.smtp import SmtpSink

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(binaries() is None or not possible(), reason="needs PostgreSQL, iproute2 and root"),
]
BACKLOG = int(os.environ.get("CHAOS_BACKLOG", "20000"))
KEY = "backlog"


@pytest.fixture
def server() -> Iterator[Server]:
    with TemporaryDirectory(prefix="chaos-") as name:
        Path(name).chmod(0o755)
        made = Server(Path(name) / "server")
        yield made
        made.stop()


def test_one_is_killed_and_one_is_cut_off_and_the_other_finishes(tmp_path: Path, server: Server) -> None:
    with machines("crm-one", "crm-two") as (one, two), SmtpSink(tmp_path / "mail.jsonl", host="0.0.0.0") as smtp:
        made = Installation(url=server.url, folder=tmp_path, smtp=smtp)
        made.environment |= {"LOG_LEVEL": "ERROR", "PIPELINES_TEST_CLOCK": "1", "PIPELINES_KICK": "1"}
        made.command("migrate", "--verbosity", "0")
        made.command("create_api_key", "--team", "acme", "--role", "admin", "--name", "chaos", "--create-team")
        nursery = Nursery(folder=tmp_path / "answers", environment=made.environment)
        clusters: list[Program] = []

        def cluster(machine: Machine) -> Program:
            url = server.url.replace("127.0.0.1", machine.database)
            elsewhere = {**made.environment, "DATABASE_URL": url, "EMAIL_URL": f"smtp://{machine.mail}:{smtp.port}"}
            clusters.append(Program("worker", environment=elsewhere, prefix=machine.prefix))
            return clusters[-1]

        def sent() -> int:
            return len(smtp.receipts.all())

        try:
            nursery.do("build", key=KEY, steps=[MARK, email()])
            receipts = tmp_path / "entered.jsonl"
            nursery.do("enter", key=KEY, numbers=list(range(BACKLOG)), receipts=str(receipts))
            first, second = cluster(one), cluster(two)
            eventually(lambda: sent() >= BACKLOG * 0.3, within=300)
            worked = {row[0] for row in server.sql("SELECT DISTINCT host FROM pipelines_engineworker")}
            assert worked == {"crm-one", "crm-two"}
            first.leave_nothing()
            eventually(lambda: sent() >= BACKLOG * 0.5, within=300)
            third = cluster(one)
            third.says("cluster works")
            two.cut()
            eventually(lambda: _left(server) == 0, within=600)
            # Time passes for what the dead and the cut off held.
            time.sleep(15)
            nursery.do("end_leases")
            two.plug_in()
            eventually(lambda: _open(server) == 0, within=300)
            second.leave_nothing()
            third.leave_nothing()
            nursery.do("drain")
            _judge(nursery, smtp, receipts)
        finally:
            nursery.close()
            for program in clusters:
                program.leave_nothing()
            made.stop()


def _left(server: Server) -> int:
    """Runs and effects that nobody has taken."""
    runs = "SELECT count(*) FROM pipelines_pipelinerun WHERE status = 0 AND next_step_at <= now()"
    effects = "SELECT count(*) FROM pipelines_effect WHERE status = 0"
    return int(str(server.sql(runs)[0][0])) + int(str(server.sql(effects)[0][0]))


def _open(server: Server) -> int:
    return int(str(server.sql("SELECT count(*) FROM pipelines_pipelinerun WHERE finished_at IS NULL")[0][0]))


def _judge(nursery: Nursery, smtp: SmtpSink, receipts: Path) -> None:
    state = nursery.do("state", key=KEY)
    attempted = [f"{KEY}{n}@example.org" for n in range(BACKLOG)]
    known = {"attempted": attempted, "acknowledged": oracle.acknowledged(receipts), "existing": state["contacts"]}
    facts: dict[str, Any] = {
        "database": "postgresql",
        "fault": "two machines, one killed, one cut off",
        "scene": "mail",
        "faults": 2,
    }
    changes = Counter({name: count for name, count in state["marks"].items() if count})
    oracle.record(oracle.judge(received=changes, **known), effect="change", **facts)
    tally = oracle.judge(received=oracle.mails(smtp.recipients(), KEY), told=state["told"], **known)
    oracle.record(tally, effect="mail", **facts)
    # The pass of the machine that was cut off tells of its error when it can; the clock has jumped over silent days.
    assert set(nursery.do("findings")) <= {"messages.uncertain", "steps.deadly", "tick.failed", "pipeline.silent"}
