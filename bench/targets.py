"""Whether the targets are met, read from the tables of a document: `python -m bench.targets docs/performance.md`."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.written import write_section

# Sections by name, and in each the cells of a row by its first cell.
Tables = Mapping[str, Mapping[str, Sequence[str]]]
FLOOR, RATE = -1, 1


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach; `most` says that it must not be larger, else it must not be smaller."""

    name: str
    wanted: float
    reached: Callable[[Tables], float]
    most: bool = False

    def line(self, tables: Tables) -> str:
        sign = "at most" if self.most else "at least"
        try:
            reached = self.reached(tables)
        except (LookupError, ValueError):
            return f"| {self.name} | {sign} {self.wanted:g} | | not measured |"
        met = reached <= self.wanted if self.most else reached >= self.wanted
        by = (
            f"missed: {reached / self.wanted:.2f} of it"
            if not self.most
            else f"missed: {reached / self.wanted:.2f} times"
        )
        return f"| {self.name} | {sign} {self.wanted:g} | {reached:.2f} | {'met' if met else by} |"


def _cell(section: str, row: str, column: int) -> Callable[[Tables], float]:
    return lambda tables: _number(_row(tables, section, row)[column])


def _row(tables: Tables, section: str, start: str) -> Sequence[str]:
    exact = tables[section].get(start)
    return exact or next(cells for first, cells in tables[section].items() if first.startswith(start))


def _number(text: str) -> float:
    return float(re.sub(r"[^0-9.]", "", text.split("(")[0]))


def _over(section: str, one: str, other: str, column: int = RATE) -> Callable[[Tables], float]:
    return lambda tables: _cell(section, one, column)(tables) / _cell(section, other, column)(tables)


def _spread(section: str, column: int) -> Callable[[Tables], float]:
    def work(tables: Tables) -> float:
        found = [_number(cells[column]) for cells in tables[section].values()]
        return max(found) / min(found)

    return work


def _best_peer(section: str) -> Callable[[Tables], float]:
    """The engine's multiple of the peer that comes nearest."""

    def work(tables: Tables) -> float:
        rows = tables[section].items()
        return min(_number(cells[-1]) for name, cells in rows if "engine" not in name and cells[-1].strip())

    return work


MILLION, PASS = "1,000,000", "statements per 1,000 runs in a whole pass over 10,000"
SMALL_PASS = "statements per 1,000 runs in a whole pass over 100"
MEMORY = "MiB of memory, at the most, of a worker over a backlog of "
TARGETS = (
    Target("moving runs, of the three-step floor", 0.5, _cell("moving", "the engine", FLOOR)),
    Target("moving runs, times the best durable peer", 20, _best_peer("peers steps")),
    Target("two workers, times one", 1.5, _over("moving", "the engine, two workers", "the engine")),
    Target("forking and joining, of its floor", 0.3, _cell("forking", "the engine", FLOOR)),
    Target("enrollment by batch, of its floor", 0.5, _cell("enrolling", "the engine's batch", FLOOR)),
    Target("enrollment by signal, added cost, times that of saving", 1.0,
           lambda tables: _over("saving", "saving alone", "entering three")(tables) - 1, most=True),
    Target("mail, of the floor that batches", 0.7, _cell("mailing", "the engine", FLOOR)),
    Target("mail, of a bare `smtplib` loop", 0.7, _over("mailing", "the engine", "a bare smtplib loop")),
    Target("mail, times the best peer", 3, _best_peer("peers mail")),
    Target("statements per 1,000 runs, of 10,000", 8, _cell("costs", PASS, 1), most=True),
    Target("the same, of 100", 8, _cell("costs", SMALL_PASS, 1), most=True),
    Target("milliseconds to find lanes, 1,000,000 waiting", 2, _cell("lanes", MILLION, 2), most=True),
    Target("statements of an idle pass, 1,000,000 waiting", 9, _cell("lanes", MILLION, 4), most=True),
    Target("an idle pass, 2,000,000 waiting beside 100,000", 1.5, _spread("lanes", 3), most=True),
    Target("memory, ten times the backlog", 1.05, _over("costs", f"{MEMORY}100,000", f"{MEMORY}10,000"), most=True),
)  # fmt: skip


def tables_of(text: str) -> Tables:
    """The tables between the marks of a document."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, block in re.findall(r"<!-- bench: (.+?) -->\n(.*?)<!-- end -->", text, re.DOTALL):
        rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines() if "|" in line]
        found[name] = {cells[0]: cells for cells in rows[2:]}
    return found


def write_targets(path: Path) -> None:
    tables = tables_of(path.read_text("utf-8"))
    lines = ["| target | wanted | reached | |", "|---|---:|---:|---|", *(target.line(tables) for target in TARGETS)]
    write_section(path, "targets", "\n".join(lines))


if __name__ == "__main__":
    write_targets(Path(sys.argv[1]))
