"""`python -m tests.faults.report`: what the last fault tests attempted, and what became of it, as a table."""

import json
import sys
from collections import Counter
from typing import Any

from tests.faults.oracle import LEDGER

COLUMNS = ("attempted", "acknowledged", "arrived", "told", "lost", "duplicated", "unexpected", "recovered")


def rows(lines: list[dict[str, Any]]) -> list[str]:
    """One row for each group: storms by name and effect, the walk over all points by database and effect."""
    sums: dict[tuple[str, str, str], Counter[str]] = {}
    for line in lines:
        name = str(line.get("group", line["fault"]))
        cell = sums.setdefault((name, line["database"], line["effect"]), Counter())
        cell.update({column: int(line[column]) for column in COLUMNS})
        # A storm counts its faults; a single scene is one.
        cell["faults"] = max(cell["faults"], int(line["faults"])) if "faults" in line else cell["faults"] + 1
    head = ["fault", "database", "effect", "faults", *COLUMNS]
    table = ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * (len(COLUMNS) + 1)]
    for (name, database, effect), cell in sorted(sums.items()):
        figures = [f"{cell[column]:,}" for column in ("faults", *COLUMNS)]
        table.append("| " + " | ".join([name, database, effect, *figures]) + " |")
    return table


def main() -> None:
    if not LEDGER.exists():
        sys.exit(f"No fault test has run: {LEDGER.name} is missing. Try `make chaos`.")
    lines = [json.loads(line) for line in LEDGER.read_text("utf-8").splitlines()]
    seeds = sorted({str(line["seed"]) for line in lines if "seed" in line})
    print("\n".join(rows(lines)))
    print(f"\nSeeds: {', '.join(seeds) or 'none'}.")


if __name__ == "__main__":
    main()
