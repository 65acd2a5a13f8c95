"""`python -m bench [--only NAME …]`: every benchmark on a PostgreSQL database of its own, each in a table."""

import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

import django

from bench.scratch import postgres_answers, scratch_database
from bench.written import write_section


def _sections(options: Namespace) -> Mapping[str, Callable[[], str]]:
    """Benchmarks by name. Their modules need Django to be set up."""
    from bench.costs import measure_costs
    from bench.dispatching import measure_dispatching
    from bench.enrolling import measure_enrolling, measure_saving
    from bench.forking import measure_forking
    from bench.importing import measure_importing
    from bench.lanes import measure_lanes
    from bench.mailing import measure_mailing
    from bench.moving import measure_moving
    from bench.scale import measure_scale

    size, rounds = options.size, options.rounds
    return {
        "moving": lambda: measure_moving(runs=size, rounds=rounds),
        "forking": lambda: measure_forking(parents=size * 2, rounds=max(1, rounds - 2)),
        "enrolling": lambda: measure_enrolling(contacts=size * 10, rounds=max(1, rounds - 2)),
        "importing": lambda: measure_importing(contacts=size * 10, rounds=max(1, rounds - 3)),
        "saving": lambda: measure_saving(contacts=max(200, size // 10), rounds=rounds),
        "dispatching": lambda: measure_dispatching(events=size * 10, rounds=max(1, rounds - 2)),
        "mailing": lambda: measure_mailing(mails=max(500, size // 5), rounds=rounds),
        "lanes": measure_lanes,
        "scale": measure_scale,
        "costs": lambda: measure_costs(runs=size, backlog=size * 10),
    }


NAMES = ("moving", "forking", "enrolling", "importing", "saving", "dispatching", "mailing", "lanes", "scale", "costs")


def main() -> None:
    parser = ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="runs of one round; other sizes follow from it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", action="append", default=[], choices=NAMES, help="a benchmark by name; may be given again"
    )
    parser.add_argument("--write", type=Path, help="a document whose tables are renewed, such as docs/performance.md")
    options = parser.parse_args()
    if options.write and not options.write.is_file():
        sys.exit(f"There is no {options.write} to write to.")
    if not postgres_answers():
        sys.exit("The benchmarks need PostgreSQL; set BENCH_DATABASE_URL to one that may be written to.")
    if options.write or not options.only:
        # Each on a database of its own, so that none measures what another has left.
        for name in options.only or NAMES:
            _measure_apart(name, options)
        return
    with scratch_database():
        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        sections = _sections(options)
        for name in options.only:
            started = time.perf_counter()
            print(sections[name](), flush=True)
            print(f"({name}: {time.perf_counter() - started:.0f} s)\n", file=sys.stderr, flush=True)
        connections.close_all()


def _measure_apart(name: str, options: Namespace) -> None:
    """One benchmark in a process of its own, which prints its table; renewed in a document if there is one."""
    sizes = ["--size", str(options.size), "--rounds", str(options.rounds)]
    command = [sys.executable, "-m", "bench", *sizes, "--only", name]
    table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(table, flush=True)
    if options.write:
        write_section(options.write, name, table)


if __name__ == "__main__":
    main()
