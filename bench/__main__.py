"""`python -m bench [--runs N] [--rounds N]`: every benchmark, each in a table of its own."""

from argparse import ArgumentParser

import django

from bench.scratch import scratch_database


def main() -> None:
    parser = ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5_000, help="runs to move in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with scratch_database() as database:
        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        from bench.moving import measure

        print(measure(database=database, runs=options.runs, rounds=options.rounds))
        connections.close_all()


if __name__ == "__main__":
    main()
