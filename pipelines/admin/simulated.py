"""Reports of simulations as their page shows them: a timetable in sentences, a funnel in bars, a calendar by day."""

from collections.abc import Mapping
from typing import Any, Final

from pipelines.actions.registry import kinds
from pipelines.admin.outcomes import came_out
from pipelines.admin.telling import clause, words
from pipelines.definition.durations import format_duration
from pipelines.definition.layout import every_place

TONES: Final[Mapping[str, str]] = {
    "failed": "bad",
    "skipped": "dull",
    "retried": "warn",
    "timed_out": "warn",
    "note": "warn",
}
COLORS: Final = ("waiting", "running", "due", "failed")


WHAT: Final[Mapping[str, str]] = {
    "create_task": "task",
    "human_task": "question",
    "call_api": "call",
    "notify": "note",
}


def report_shown(report: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """One story: what stands in its head, its entries in order, and what it leaves behind."""
    messages = list(report["messages"])
    spent = report["virtual_duration"]
    return {
        **report,
        "tag": "skipped" if report["status"] == "not_enrolled" else report["status"],
        "status_words": words(report["status"]),
        "reason_words": words(report["reason"]) if report["reason"] not in ("", "end", report["status"]) else "",
        "spent": _span(spent or 0),
        "clauses": [clause(leaf) for leaf in report.get("why", [])],
        "entries": [_entry(visit, report, messages) for visit in report["steps"]],
        "next_title": _titles(document).get(report["next"]["step"], "") if report["next"] else "",
        "kept": [(name, "—" if value is None else _json(value)) for name, value in report["context"]["vars"].items()],
    }


def _titles(document: Mapping[str, Any]) -> dict[str, str]:
    known = kinds()
    found = {}
    for place in every_place(document):
        kind = known.get(str(place.step.get("type")))
        found[place.key] = str(place.step.get("name") or (kind.label if kind else place.key))
    return found


def _entry(visit: Mapping[str, Any], report: Mapping[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    kind = kinds().get(visit["kind"])
    seconds = (visit["left_at"] - report["started_at"]).total_seconds()
    waited = (visit["left_at"] - visit["entered_at"]).total_seconds()
    return {
        "title": visit["name"] if visit["name"] != visit["key"] or kind is None else kind.label,
        "key": visit["key"],
        "branch": visit["branch"],
        "icon": kind.icon if kind else "bolt",
        "tone": TONES.get(visit["event"], "good"),
        "at": visit["left_at"],
        "after": _span(seconds) or "at once",
        "waited": _span(waited),
        "sentence": _sentence(visit),
        "attempt": visit["attempt"],
        "reasons": [clause(leaf) for leaf in visit["why"]],
        "error": visit["error"] or "",
        "effects": [_effect(effect) for effect in visit["effects"]],
        "messages": _of_visit(visit, messages),
    }


def _of_visit(visit: Mapping[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages of a visit, each shown once: with the first attempt that had not ended before it."""
    names = ("branch", "visit")
    mine = [
        each for each in messages if all(each[name] == visit[name] for name in names) and each["at"] <= visit["left_at"]
    ]
    for each in mine:
        messages.remove(each)
    return mine


def _sentence(visit: Mapping[str, Any]) -> str:
    outcome = visit["outcome"]
    if visit["event"] == "retried":
        return "Did not work and is tried again."
    if visit["event"] == "failed":
        return "Failed."
    if visit["event"] == "skipped":
        return "Was skipped." if not visit["error"] or outcome == "skipped" else "Went wrong, and the run goes on."
    return came_out(visit["kind"], outcome)


def _effect(effect: Mapping[str, Any]) -> str:
    match effect["kind"]:
        case "task":
            whom = f" for {effect['assignee']}" if effect["assignee"] else ""
            return f"Task{whom}: {effect['title']}"
        case "http":
            request = effect["request"]
            return f"{request.get('method')} {request.get('url')}: {effect['state']}"
        case "email":
            return f"Mail to {effect['to']}: {effect['subject']} ({effect['state']})"
        case kind:
            return f"{kind}: {effect.get('state', '')}"


def audience_shown(report: Mapping[str, Any]) -> dict[str, Any]:
    """Many: bars by step, days with what is sent, and how the runs end."""
    largest = max((step["subjects"] for step in report["funnel"]), default=0) or 1
    bars = [_bar(step, largest) for step in report["funnel"]]
    titles = {bar["key"]: bar["title"] for bar in bars}
    days: dict[str, list[dict[str, Any]]] = {}
    most = max((each["count"] for each in report["calendar"]), default=0) or 1
    for each in report["calendar"]:
        day = f"{each['at']:%a %-d %b %Y}"
        days.setdefault(day, []).append(
            {
                **each,
                "title": titles.get(each["step"], each["step"]),
                "hour": f"{each['at']:%H}:00",
                "what": WHAT.get(each["kind"], each["kind"]),
                "width": _width(each["count"], most),
            }
        )
    return {
        **report,
        "kept_out": [(words(name), count) for name, count in report["not_enrolled"].items()],
        "steps": bars,
        "days": [(day, entries, sum(each["count"] for each in entries)) for day, entries in days.items()],
        "total": sum(each["count"] for each in report["calendar"]),
        "ends": list(report["statuses"].items()),
    }


def _bar(step: Mapping[str, Any], largest: int) -> dict[str, Any]:
    kind = kinds().get(step["kind"])
    return {
        **step,
        "title": step["name"] if step["name"] != step["key"] or kind is None else kind.label,
        "icon": kind.icon if kind else "bolt",
        "width": _width(step["subjects"], largest),
        "ways": [(words(name), count) for name, count in sorted(step["outcomes"].items(), key=lambda way: -way[1])],
    }


def _width(count: int, most: int) -> str:
    """Of a bar of 100 units; as text, because a comma would break the drawing."""
    return f"{100 * count / most:.2f}"


def _span(seconds: float) -> str:
    """A span in its two largest units; the seconds of four days tell nobody anything."""
    grain = 3600 if seconds >= 86_400 else 60 if seconds >= 3600 else 1
    whole = round(seconds / grain) * grain
    return format_duration(whole) if whole else ""


def _json(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
