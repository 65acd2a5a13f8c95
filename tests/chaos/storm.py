"""A storm: people come in and workers work while something breaks again and again; then calm, and judgement."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.server import Server
from tests.faults import oracle
from tests.faults.nursery import Child, Nursery
from tests.faults.scenes import KINDS, House, Scene, environment_for
from tests.installation import Installation
from tests.sinks.http import HttpSink
from tests.sinks.providers import SmsGateway
from tests.sinks.smtp import SmtpSink

SECONDS = float(os.environ.get("CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or Random().randrange(1, 10**6)
WORKERS = 2

Trouble = Callable[[Random], None]


@dataclass(slots=True)
class Storm:
    """A house with one scene of each kind, a process that takes people in, and workers that are replaced."""

    house: House
    scenes: dict[str, Scene]
    random: Random
    workers: list[Child] = field(default_factory=list)
    faults: int = 0

    @property
    def _stop(self) -> Path:
        return self.house.folder / "stop"

    def rage(self, trouble: Trouble, *, pause: tuple[float, float], seconds: float = SECONDS) -> None:
        """Break something every so often while work goes on."""
        writer = self.let_people_in()
        self.workers = [self.worker() for _ in range(WORKERS)]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(self.random.uniform(*pause))
            trouble(self.random)
            self.faults += 1
            self.workers = [self.worker() if worker.ended else worker for worker in self.workers]
        self.end(writer)
        for worker in self.workers:
            worker.wait()

    def end(self, writer: Child) -> None:
        """Nobody comes in any more."""
        self._stop.touch()
        assert writer.wait() == 0

    def worker(self) -> Child:
        return self.house.nursery.start("keep_working", stop=str(self._stop))

    def kill_a_worker(self, random: Random) -> None:
        random.choice(self.workers).kill()

    def judged(self, fault: str) -> None:
        """Everybody who was owed something got it once; what is in doubt is told."""
        self.house.nursery.do("drain")
        for kind, scene in self.scenes.items():
            scene.attempted = oracle.acknowledged(self._attempts(kind))
            scene.judged(database="postgresql", fault=fault, scene=kind, seed=SEED, faults=self.faults)
            assert len(scene.attempted) >= 20, "too few for a judgement"

    def _attempts(self, kind: str) -> Path:
        return self.house.folder / f"attempted-{kind}.jsonl"

    def let_people_in(self) -> Child:
        """Start the process that creates contacts in all scenes until the end."""
        scenes = [[s.key, str(self._attempts(kind)), str(s.receipts)] for kind, s in self.scenes.items()]
        return self.house.nursery.start("keep_entering", scenes=scenes, stop=str(self._stop), seed=SEED)


@contextmanager
def storm(folder: Path, server: Server) -> Iterator[Storm]:
    """Everything ready on a database of its own."""
    print(f"seed {SEED}, {SECONDS:g} s")
    smtp_file, web_file, sms_file = folder / "mail.jsonl", folder / "web.jsonl", folder / "sms.jsonl"
    with SmtpSink(smtp_file) as smtp, HttpSink(web_file) as web, SmsGateway(sms_file) as gateway:
        made = Installation(url=server.url, folder=folder, smtp=smtp)
        made.environment |= environment_for(web, gateway, folder) | {
            "PIPELINES_SEND_GROUP": "3",
            "LOG_LEVEL": "CRITICAL",
        }
        made.command("migrate", "--verbosity", "0")
        made.command("create_api_key", "--team", "acme", "--role", "admin", "--name", "chaos", "--create-team")
        nursery = Nursery(folder=folder / "answers", environment=made.environment)
        house = House(made, nursery, web, gateway, folder)
        scenes = {kind: Scene(house, kind) for kind in KINDS}
        for scene in scenes.values():
            scene.build()
        try:
            yield Storm(house, scenes, Random(SEED))
        finally:
            nursery.close()
            made.stop()
