"""Reports in plain text, for terminals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.definition.durations import format_duration
from pipelines.simulation.expect import Played


def timetable(report: Mapping[str, Any]) -> Iterator[str]:
    """One line per visit, then messages, errors and warnings."""
    rows = [
        (
            f"{visit['entered_at']:%Y-%m-%d %H:%M:%S}",
            _after(visit["entered_at"], report),
            visit["key"],
            visit["branch"],
            visit["outcome"] or visit["event"],
            "; ".join(_reasons(visit)),
        )
        for visit in report["steps"]
    ]
    yield from table(("when (UTC)", "after", "step", "in", "outcome", "why"), rows)
    for message in report["messages"]:
        yield f"  ✉ {message['at']:%Y-%m-%d %H:%M} {message['to']}: {message['subject']} ({message['state']})"
    end = f"{report['status']}{' (' + report['reason'] + ')' if report['reason'] else ''}"
    spent = report["virtual_duration"]
    yield f"The run is {end}{' after ' + format_duration(spent) if spent else ''}."
    for leaf in report.get("why", []):
        yield f"  because {leaf_words(leaf)}"
    yield from (f"  ! {warning}" for warning in report["warnings"])


def funnel(report: Mapping[str, Any]) -> Iterator[str]:
    """Steps with how many came through, and what is sent on which day."""
    yield f"{report['enrolled']:,} of {report['subjects']:,} enter."
    rows = [
        (
            step["key"], f"{step['subjects']:,}", f"{step['visits']:,}",
            ", ".join(f"{name} {count:,}" for name, count in sorted(step["outcomes"].items())),
        )
        for step in report["funnel"]
    ]  # fmt: skip
    yield from table(("step", "people", "visits", "outcomes"), rows)
    days: dict[tuple[str, str, str], int] = {}
    for entry in report["calendar"]:
        key = (f"{entry['at']:%a %Y-%m-%d}", entry["step"], entry["kind"])
        days[key] = days.get(key, 0) + entry["count"]
    yield from table(("day", "step", "what", "how many"), [(*key, f"{count:,}") for key, count in days.items()])
    yield "Ends: " + (", ".join(f"{name} {count:,}" for name, count in report["statuses"].items()) or "none") + "."
    yield from (f"  ! {warning}" for warning in report["warnings"])


def expectations(played: Sequence[Played]) -> Iterator[str]:
    """Every story with a mark, and what is not as expected."""
    for story in played:
        yield f"{'✓' if story.met else '✗'} {story.name}"
        yield from (f"    {check.path}: {check.sentence}" for check in story.checks if not check.met)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest cell; columns without content are left out."""
    shown = [index for index in range(len(head)) if any(row[index] for row in rows)]
    everything = [head, *rows] if rows else []
    widths = [max(len(row[index]) for row in everything) for index in shown]
    for row in everything:
        yield "  ".join(row[index].ljust(width) for index, width in zip(shown, widths, strict=True)).rstrip()


def _after(moment: Any, report: Mapping[str, Any]) -> str:
    return format_duration(round((moment - report["started_at"]).total_seconds()))


def _reasons(visit: Mapping[str, Any]) -> list[str]:
    return [leaf_words(leaf) for leaf in visit["why"]] + ([visit["error"]] if visit["error"] else [])


def leaf_words(leaf: Mapping[str, Any]) -> str:
    """One clause of a condition with the value it saw."""
    if "field" not in leaf:
        return str(leaf.get("error") or leaf.get("note") or leaf)
    if leaf.get("operator") == "expression":
        values = ", ".join(f"{name} is {value!r}" for name, value in leaf.get("values", {}).items())
        return f"{leaf['field']} is {'met' if leaf.get('met') else 'not met'}" + (f": {values}" if values else "")
    operator = str(leaf.get("operator", "")).replace("_", " ")
    return f"{leaf['field']} {operator} {leaf.get('expected')!r}, it is {leaf.get('actual')!r}"
