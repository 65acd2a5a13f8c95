"""Importing: a file of contacts who enter two pipelines, beside COPY of the same rows, and what memory it takes."""

import csv
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import floors
from bench.scene import NOW, add_pipeline, analyze, new_team
from bench.table import Row, show
from contacts.imports.lifecycle import Choices, begin_running, draft
from contacts.imports.mapping import map_columns
from contacts.imports.running import claim, run
from contacts.models import Contact
from crm.csv_files import FileBytes, inspect
from crm.models import Team
from pipelines.engine.clock import pretend
from pipelines.models import PipelineRun

PIPELINES = 2
HEADER = ("First name", "Last name", "Email", "Phone", "Job title")
COPY = """
COPY contacts_contact (team_id, first_name, last_name, email, phone, job_title, lifecycle_stage, lead_source, timezone,
                       language, custom, created_at, updated_at) FROM STDIN
"""


def measure_importing(*, contacts: int, rounds: int) -> str:
    """Rows per second; the memory is what the largest import needs beyond what the process held before."""
    ways: Sequence[tuple[str, int, Callable[[Team, Path], None]]] = (
        ("floor: COPY of the contacts alone", 0, _by_copy),
        ("import, nobody enters", 0, _by_import),
        (f"import, everybody enters {PIPELINES} pipelines", PIPELINES, _by_import),
    )
    rates: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    grown: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = _file(Path(folder), contacts)
        # What every import loads once is no memory of this one.
        _rate(_by_import, _file(Path(folder), 2_000, name="warm.csv"), PIPELINES, 2_000)
        for _ in range(rounds):
            for name, pipelines, work in ways:
                before = _peak()
                rates[name].append(_rate(work, path, pipelines, contacts))
                grown[name] = max(grown.get(name, 0.0), _peak() - before)
        size = path.stat().st_size / 1e6
    rows = [Row(name, each) for name, each in rates.items()]
    table = show(f"## Importing {contacts:,} contacts", rows, unit="rows/s")
    peak = max(grown.values())
    told = f"The peak of memory grew by {peak:.1f} MB over that of 2,000 rows; the file has {size:.1f} MB."
    return f"{table}\n{told}\n"


def _file(folder: Path, size: int, *, name: str = "people.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows((f"C{n}", f"Last{n}", f"c{n}@x.example", f"+49151{n:08d}", "Buyer") for n in range(size))
    return path


def _rate(work: Callable[[Team, Path], None], path: Path, pipelines: int, size: int) -> float:
    team = new_team()
    for number in range(pipelines):
        add_pipeline(team, key=f"p{number}")
    analyze()
    started = time.perf_counter()
    work(team, path)
    elapsed = time.perf_counter() - started
    assert Contact.objects.filter(team=team).count() == size
    assert PipelineRun.objects.for_team(team).count() == size * pipelines
    return size / elapsed


def _by_import(team: Team, path: Path) -> None:
    """The whole way of the command: the file is looked through, then read, written and noted by the thousand."""
    source = FileBytes(path)
    table = inspect(source=source)
    targets = [column.target for column in map_columns(header=table.header).columns]
    with pretend(NOW):
        row = draft(team=team, table=table, name=path.name, choices=Choices(targets=targets), source="command")
        begin_running(row=row, now=NOW)
        run(row=claim(row=row, now=NOW), clock=lambda: NOW, source=source, progress=lambda *_: None)


def _by_copy(team: Team, path: Path) -> None:
    with floors.connect() as connection, connection.cursor() as cursor, path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        with cursor.copy(COPY) as copy:
            for row in rows:
                copy.write_row((team.pk, *row, "lead", "", "", "", "{}", NOW, NOW))


def _peak() -> float:
    """The most memory this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
