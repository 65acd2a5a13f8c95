"""`python -m bench [--only NAME …]`: every benchmark on a PostgreSQL database of its own, each in a table."""

import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping

import django

from bench.scratch import postgres_answers, scratch_database


def _sections(options: Namespace) -> Mapping[str, Callable[[], str]]:
    """Benchmarks by name. Their modules need Django to be set up."""
    from bench.costs import measure_costs
    from bench.enrolling import measure_enrolling, measure_saving
    from bench.forking import measure_forking
    from bench.lanes import measure_lanes
    from bench.mailing import measure_mailing
    from bench.moving import measure_moving
    from bench.scale import measure_scale

    size, rounds = options.size, options.rounds
    return {
        "moving": lambda: measure_moving(runs=size, rounds=rounds),
        "forking": lambda: measure_forking(parents=size * 2, rounds=max(1, rounds - 2)),
        "enrolling": lambda: measure_enrolling(contacts=size * 10, rounds=max(1, rounds - 2)),
        "saving": lambda: measure_saving(contacts=max(200, size // 10), rounds=rounds),
        "mailing": lambda: measure_mailing(mails=max(500, size // 5), rounds=rounds),
        "lanes": measure_lanes,
        "scale": measure_scale,
        "costs": lambda: measure_costs(runs=size, backlog=size * 10),
    }


NAMES = ("moving", "forking", "enrolling", "saving", "mailing", "lanes", "scale", "costs")


def main() -> None:
    parser = ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="runs of one round; other sizes follow from it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", action="append", default=[], choices=NAMES, help="a benchmark by name; may be given again"
    )
    options = parser.parse_args()
    if not postgres_answers():
        sys.exit("The benchmarks need PostgreSQL; set BENCH_DATABASE_URL to one that may be written to.")
    if not options.only:
        # Each on a database of its own, so that none measures what another has left.
        sizes = ["--size", str(options.size), "--rounds", str(options.rounds)]
        for name in NAMES:
            subprocess.run([sys.executable, "-m", "bench", *sizes, "--only", name], check=True)
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


if __name__ == "__main__":
    main()
