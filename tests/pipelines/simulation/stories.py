"""Random stories: steps of every kind with jumps, blocks within blocks, and what people and systems answer."""

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Step = dict[str, Any]
# The steps of a pipeline, and what each of its calls is answered, by key.
Story = tuple[list[Step], dict[str, Any]]
STAGES = ["lead", "customer", "former"]
CONDITIONS = [
    "score > 2",
    "contact.lifecycle_stage == 'customer'",
    {"field": "contact.lifecycle_stage", "operator": "in_list", "value": ["lead", "former"]},
    {"all": [{"field": "score", "operator": "less_than", "value": 4}, "contact.first_name != 'Zoe'"]},
]
DELAYS: list[Any] = [
    0,
    0,
    60,
    3600,
    "1d",
    {"for": "2d", "at": "09:00", "days": ["mon", "wed"]},
    {"for": "3h", "from": "start"},
]
ANSWERS: list[Any] = [
    [{"score": 7}], ["http_5xx", {"score": 1}], ["timeout", "timeout", {"score": 3}], [{"error": "http_4xx"}],
    ["http_5xx"], [{"uncertain": True}, {"score": 2}],
]  # fmt: skip
EVENTS = [
    {"after": "5h", "type": "mail.opened"},
    {"after": "1d", "type": "order.paid", "payload": {"total": 3}},
    {"after": "30h", "type": "order.paid", "payload": {"total": 9}},
    {"after": "6d", "type": "order.paid", "payload": {"total": 7}},
]
ANSWERS_OF_PEOPLE = [
    {"after": "4h", "outcome": "yes", "values": {"points": 5}},
    {"after": "9d", "outcome": "no", "values": {"points": 1}},
    {"after": "1d", "outcome": "no", "values": {"points": 2}},
]
VARIABLES = [{"name": name, "type": "number", "default": default} for name, default in (("score", 1), ("won", 0))]
# What the team has beside the pipeline: two others to call and to put people into, and a type of records.
CALLED: list[Step] = [
    {"key": "inside", "type": "set_variable", "delay": 600, "with": {"score": "= score + 10"}},
    {"key": "said", "type": "send_email", "with": {"subject": "Called {{ score }}", "text": "x"}},
]
BESIDE: list[Step] = [
    {"key": "beside", "type": "wait", "delay": "3d"},
    {"key": "later", "type": "create_task", "with": {"title": "Later"}},
]
OWN_FIELDS = [{"key": "note", "label": "Note", "type": "text"}, {"key": "points", "label": "Points", "type": "number"}]
_TEXT = "{{ contact.first_name }} {{ contact.lifecycle_stage }} {{ score }}"
_MINE = {"field": "title", "operator": "equals", "value": "{{ contact.email }}"}
# Steps that go on by `next`, each with the ways it is written.
PLAIN: dict[str, list[dict[str, Any]]] = {
    "wait": [{}],
    "send_email": [{"subject": "{{ score }}", "text": _TEXT}],
    "send_sms": [{"text": _TEXT}, {"text": _TEXT, "to": "+4915112345678"}],
    "send_whatsapp": [{"text": _TEXT}],
    "send_push": [{"title": "{{ score }}", "body": _TEXT, "to": ["a" * 64]}],
    "send_chat": [{"text": _TEXT}],
    "notify": [{"to": "maya@x.org", "title": "{{ score }}"}, {"role": "owner", "title": "Look"}],
    "set_variable": [{"score": "= score + 1"}, {"score": 3}, {"score": "= contact.first_name"}],
    "update_record": [{"values": {"lifecycle_stage": stage, "mark": "= score"}} for stage in STAGES],
    "create_task": [{"title": "Call {{ contact.first_name }} {{ score }}"}],
    "create_record": [
        {"model": "contacts.deal", "values": {"title": "{{ contact.email }}"}},
        {"model": "records.visit", "values": {"note": "x", "points": "= score"}},
        {"model": "crm.task", "values": {"title": "Look {{ score }}"}},
    ],
    "find_records": [{"model": "contacts.deal", "where": _MINE}, {"model": "records.visit", "limit": 1}],
    "create_segment": [{"segment": "warm"}, {"segment": "new"}],
    "add_to_segment": [{"segment": "warm"}],
    "remove_from_segment": [{"segment": "warm"}],
    "enroll": [{"pipeline": "beside"}],
    "unenroll": [{"pipeline": "beside"}],
    "code": [{"source": "result = {'score': context['score'] * 2}"}],
}
# What a variable becomes by the output of a step.
_NOTED = {"find_records": "= score + (steps.{}.count or 0)", "code": "= steps.{}.score or score"}
FORKS = ["condition", "switch", "split", "wait_for", "human_task", "call_api"]
BLOCKS = ["parallel", "loop", "call"]


@st.composite
def steps(draw: Any, depth: int = 2, stem: str = "s") -> list[Step]:
    """A list of steps, with jumps inside it and blocks within blocks."""
    count = draw(st.integers(1, 5 if depth == 2 else 3))
    keys = [f"{stem}{n}" for n in range(count)]
    return [draw(step(key, keys, depth)) for key in keys]


@st.composite
def step(draw: Any, key: str, keys: list[str], depth: int) -> Step:
    kind = draw(st.sampled_from(["plain", "plain", "plain", *FORKS, "end", *(BLOCKS if depth else BLOCKS[2:])]))
    one: Step = {"key": key, "delay": draw(st.sampled_from(DELAYS))}
    if kind != "condition" and draw(st.integers(0, 3)) == 0:
        one["if"] = draw(st.sampled_from(CONDITIONS))
    if kind == "plain":
        kind = draw(st.sampled_from(sorted(PLAIN)))
        one |= {"with": draw(st.sampled_from(PLAIN[kind]))}
        if draw(st.booleans()):
            one["on"] = {"error": draw(st.sampled_from([*keys, "next", "fail"]))}
        if kind in _NOTED:
            one["set"] = {"score": _NOTED[kind].format(key)}
    elif kind in FORKS:
        one |= draw(fork(kind, key, keys))
    elif kind == "end":
        one |= {"with": draw(st.sampled_from([{}, {"status": "completed", "reason": "enough"}, {"terminate": True}]))}
    else:
        one |= draw(block(kind, key, depth))
    return {"type": kind, **one}


@st.composite
def fork(draw: Any, kind: str, key: str, keys: list[str]) -> Step:
    """A step with several ways on."""

    def ways(*names: str) -> dict[str, str]:
        return {name: draw(st.sampled_from([*keys, "end", "next"])) for name in names}

    match kind:
        case "condition":
            return {"if": draw(st.sampled_from(CONDITIONS)), "on": ways("true", "false")}
        case "switch":
            cases = [{"name": "high", "if": "score > 3"}, {"name": "low", "if": "score < 2"}]
            return {"with": {"cases": cases}, "on": ways("high", "low", "default")}
        case "split":
            variants = [{"name": "a", "weight": draw(st.integers(0, 2))}, {"name": "b"}]
            given = {"variants": variants, "holdout": draw(st.sampled_from([0, 30])), "seed": key}
            return {"with": given, "on": ways("a", "b", "holdout")}
        case "wait_for":
            events: list[dict[str, Any]] = [
                {"name": "paid", "event": "order.paid", "where": "event.total > 5"},
                {"name": "opened", "event": "mail.opened", "since": draw(st.sampled_from(["now", "run", "1d"]))},
            ]
            given = {"events": events}
            if draw(st.booleans()):
                given["condition"] = "contact.lifecycle_stage == 'former'"
            return {"timeout": "3d", "with": given, "on": ways("paid", "opened", "timeout")}
        case "human_task":
            form = [{"name": "points", "type": "number", "required": True}]
            asked = {"title": "Fit? {{ score }}", "outcomes": ["yes", "no"], "form": form, "assignee": "maya@x.org"}
            noted = {"score": f"= steps.{key}.points or score"}
            return {"timeout": "2d", "with": asked, "on": ways("yes", "no", "timeout"), "set": noted}
        case _:
            return {
                "with": {"url": "https://receiver.example/{{ score }}"},
                "retry": {"max": 2, "delay": 300}, "on": {"error": draw(st.sampled_from([*keys, "next", "fail"]))},
                "set": {"score": f"= steps.{key}.body.score or score"},
            }  # fmt: skip


@st.composite
def block(draw: Any, kind: str, key: str, depth: int) -> Step:
    """A step that opens lists of its own."""
    if kind == "call":
        given = {"pipeline": "called", "wait": draw(st.booleans()), "set": {"score": "= score"}}
        return {"with": given, "on": {"error": "next"}, **draw(repeated())}
    joining: dict[str, Any] = {
        "on_branch_error": draw(st.sampled_from(["ignore", "ignore", "wait", "fail"])),
        "cancel_rest": draw(st.booleans()),
        "concurrency": draw(st.integers(1, 3)),
        "join": draw(st.sampled_from(["all", "all", "any", 1, {"when": "completed + skipped > 1 or open == 0"}])),
    }
    more: Step = {"on": {"error": "next"}} if draw(st.booleans()) else {}
    if draw(st.integers(0, 3)) == 0:
        more = {"timeout": "4d", "on": {**more.get("on", {}), "timeout": "next"}}
    more |= draw(repeated())
    if kind == "parallel":
        return {"with": {**draw(branches(key, depth)), **joining}, **more}
    rounds: list[dict[str, Any]] = [
        {"times": draw(st.integers(0, 3))},
        {"over": [1, "x"], "as": "thing"},
        {"while": "index < 2 and score < 9", "max": 5},
        {"until": "score > 3 or index >= 2", "max": 5},
    ]
    body = draw(steps(depth=depth - 1, stem=f"{key}i"))
    given = {**draw(st.sampled_from(rounds)), "steps": body, "tolerate": draw(st.sampled_from([0, 1, "50%"]))}
    export = draw(st.sampled_from([[], ["score"]]))
    return {"with": {**given, **joining, "export": export}, **more}


@st.composite
def repeated(draw: Any) -> Step:
    """A rule by which a block is tried again, or none."""
    if draw(st.integers(0, 2)):
        return {}
    on = draw(st.sampled_from([["*"], ["branch", "called"], ["timeout", "too_many"]]))
    return {"retry": {"max": draw(st.integers(1, 2)), "delay": draw(st.sampled_from(["0s", "10m", "1d"])), "on": on}}


@st.composite
def branches(draw: Any, key: str, depth: int) -> dict[str, Any]:
    """Branches that may begin only if, or only after others; one brings a variable home."""
    names = ["a", "b", "c"][: draw(st.integers(2, 3))]
    found: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        one: dict[str, Any] = {"name": name, "steps": draw(steps(depth=depth - 1, stem=f"{key}{name}"))}
        if number and draw(st.integers(0, 2)) == 0:
            one["after"] = draw(st.sampled_from([[names[0]], names[:number], [f"{names[0]}:next"]]))
        if draw(st.integers(0, 4)) == 0:
            one["if"] = draw(st.sampled_from(CONDITIONS))
        if draw(st.integers(0, 4)) == 0:
            one["optional"] = True
        found.append(one)
    if depth < 2:
        return {"branches": found}
    found[0]["steps"].append({"key": f"{key}won", "type": "set_variable", "with": {"won": "= won + 1"}})
    return {"branches": found, "export": draw(st.sampled_from([[], ["won"]]))}


@st.composite
def stories(draw: Any, stem: str = "s") -> Story:
    line = draw(steps(stem=stem))
    stubs = {key: draw(st.sampled_from(ANSWERS)) for key in of_kind(line, "call_api")}
    return line, stubs


def story_of(number: int) -> Story:
    """The story that has this number, the same at every time; no other has steps with its keys."""
    found: list[Story] = []

    @seed(number)
    @settings(max_examples=2, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(stories(stem=f"n{number}s"))
    def drawn(story: Story) -> None:
        found.append(story)

    # What is drawn first is the simplest of all, whatever the number.
    drawn()
    return found[-1]


def every_step(line: list[Step]) -> Iterator[Step]:
    """The steps of a list and of all lists inside it."""
    for one in line:
        yield one
        given = one.get("with", {})
        for branch in given.get("branches", []):
            yield from every_step(branch["steps"])
        yield from every_step(given.get("steps", []))


def of_kind(line: list[Step], kind: str) -> Iterator[str]:
    return (one["key"] for one in every_step(line) if one["type"] == kind)
