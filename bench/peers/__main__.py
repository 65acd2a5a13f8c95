"""`python -m bench.peers [--contacts N] [--rounds N] [--only NAME …]`: peers beside the engine, tables with medians."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.peers.running import NAMES, Measured, measure_peers
from bench.scratch import postgres_answers
from bench.written import write_section

TITLES = {
    "steps": ("Contacts through three steps: update a field, decide, record a message", "contacts/s"),
    "mail": ("A mail for each contact, through SMTP", "mails/s"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000, help="slow peers get half of them, the engine ten times")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], choices=NAMES, help="may be given again")
    parser.add_argument("--write", type=Path, help="a document whose tables are renewed, such as docs/performance.md")
    options = parser.parse_args()
    if options.write and not options.write.is_file():
        sys.exit(f"There is no {options.write} to write to.")
    if not postgres_answers():
        sys.exit("The peers need PostgreSQL; set BENCH_DATABASE_URL to one that may be written to.")
    measured = measure_peers(contacts=options.contacts, rounds=options.rounds, names=options.only or NAMES)
    for job in TITLES:
        if rows := [each for each in measured if each.peer.job == job]:
            print(table(job, rows), flush=True)
            if options.write:
                write_section(options.write, f"peers {job}", table(job, rows))


def table(job: str, rows: Sequence[Measured]) -> str:
    title, unit = TITLES[job]
    # Beside the engine's better way, whether that is one worker or two.
    engine = max((each.rate for each in rows if each.peer.is_engine), default=0.0)
    lines = [
        f"### {title}",
        "",
        f"| product | version | workers | durable by | contacts | {unit} (median) | lowest | highest"
        " | engine's multiple |",
        "|---|---|---|---|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *(_line(each, engine) for each in rows), ""])


def _line(measured: Measured, engine: float) -> str:
    if not measured.results:
        return f"| {measured.peer.title} | {measured.missing.replace('|', '/')} | | | | | | | |"
    first, rates = measured.results[0], measured.rates
    title = first.name if not measured.peer.is_engine else measured.peer.title
    times = f"{engine / measured.rate:,.1f}" if engine else "–"
    facts = f"{title} | {first.version} | {first.workers} | {first.durability} | {first.contacts:,}"
    note = f" ({measured.missing})" if measured.missing else ""
    return f"| {facts} | {measured.rate:,.0f}{note} | {min(rates):,.0f} | {max(rates):,.0f} | {times} |"


if __name__ == "__main__":
    main()
