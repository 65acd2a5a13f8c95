"""Pictures of pipelines: nothing lies on anything else, ways lead down, branches keep their order, always the same."""

import time
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition.picture.arrange import Box, Drawing, Line, arrange
from pipelines.definition.picture.chart import Chart
from pipelines.definition.picture.graph import chart_of
from pipelines.definition.picture.sizes import FULL, SMALL
from pipelines.definition.picture.svg import Look, picture, thumbnail
from pipelines.definition.picture.words import describe
from tests.examples import examples

Draw = Callable[[st.SearchStrategy[Any]], Any]
LABELS = {"send_email": "Send email", "wait": "Wait", "condition": "Condition"}
SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def documents(draw: Draw, depth: int = 2) -> dict[str, Any]:
    """Any document: jumps forward and back, switches, ends, failures, and blocks within blocks."""
    counter = iter(range(10_000))
    return {
        "name": "Any",
        "triggers": draw(st.sampled_from([[], [{"type": "manual"}]])),
        "steps": draw(_steps(counter, depth)),
    }


@st.composite
def _steps(draw: Draw, counter: Any, depth: int) -> list[dict[str, Any]]:
    keys = [f"s{next(counter)}" for _ in range(draw(st.integers(1, 5)))]
    targets = st.sampled_from([*keys, "next", "end", "fail"])
    return [draw(_step(key, targets, counter, depth)) for key in keys]


@st.composite
def _step(draw: Draw, key: str, targets: Any, counter: Any, depth: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["wait", "wait", "condition", "switch", "parallel", "loop"] if depth else ["wait"]))
    step: dict[str, Any] = {"key": key, "type": kind, "on": {}}
    if draw(st.booleans()):
        step["next"] = draw(targets)
    match kind:
        case "condition":
            step["on"] = {"true": draw(targets), "false": draw(targets)}
        case "switch":
            names = [f"c{at}" for at in range(draw(st.integers(1, 5)))]
            step["with"] = {"cases": [{"name": name, "if": "x"} for name in names]}
            step["on"] = {name: draw(targets) for name in names}
        case "parallel":
            names = ["left", "middle", "right"][: draw(st.integers(2, 3))]
            branches = [{"name": name, "steps": draw(_steps(counter, depth - 1))} for name in names]
            if draw(st.booleans()):
                branches[-1]["after"] = names[:-1]
            step["with"] = {"branches": branches}
        case "loop":
            step["with"] = {"times": 3, "steps": draw(_steps(counter, depth - 1))}
    if draw(st.booleans()):
        step["on"]["error"] = draw(targets)
    return step


def drawn(document: Mapping[str, Any]) -> tuple[Chart, Drawing]:
    chart = chart_of(document, labels=LABELS)
    return chart, arrange(chart)


def apart(one: Box, other: Box) -> bool:
    beside = one.x + one.width <= other.x + 0.2 or other.x + other.width <= one.x + 0.2
    return beside or one.y + one.height <= other.y + 0.2 or other.y + other.height <= one.y + 0.2


def within(inner: Box, outer: Box) -> bool:
    return (
        outer.x <= inner.x + 0.2
        and outer.y <= inner.y + 0.2
        and inner.x + inner.width <= outer.x + outer.width + 0.2
        and inner.y + inner.height <= outer.y + outer.height + 0.2
    )


def insides(chart: Chart) -> dict[str, set[str]]:
    return {node.id: {each.id for each in node.inner.every_node()} for node in chart.every_node() if node.inner}


@settings(max_examples=examples(40), deadline=None)
@given(documents())
def test_no_box_lies_on_another_and_what_is_inside_stays_inside(document: dict[str, Any]) -> None:
    chart, drawing = drawn(document)
    boxes = {box.node.id: box for box in drawing.boxes}
    assert len(boxes) == len(list(chart.every_node()))
    inside = insides(chart)
    for one, other in combinations(drawing.boxes, 2):
        if other.node.id in inside.get(one.node.id, ()):
            assert within(other, one)
        elif one.node.id in inside.get(other.node.id, ()):
            assert within(one, other)
        else:
            assert apart(one, other)
    paper = Box(drawing.boxes[0].node, 0, 0, drawing.width, drawing.height)
    assert all(within(box, paper) for box in drawing.boxes)
    assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for line in drawing.lines for x, y in line.points)


@settings(max_examples=examples(40), deadline=None)
@given(documents())
def test_ways_lead_down_from_their_step_to_the_next_except_those_back(document: dict[str, Any]) -> None:
    _, drawing = drawn(document)
    boxes = {box.node.id: box for box in drawing.boxes}
    for line in drawing.lines:
        source, target = boxes[line.edge.source], boxes[line.edge.target]
        (x, y), (end_x, end_y) = line.points[0], line.points[-1]
        assert abs(y - (source.y + source.height)) < 0.3 and source.x <= x <= source.x + source.width
        assert abs(end_y - target.y) < 0.3 and target.x - 1 <= end_x <= target.x + target.width + 1
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(line.points)), "only right angles"
        if not line.back:
            assert target.y >= source.y + source.height
            assert all(a[1] <= b[1] for a, b in pairwise(line.points))


@settings(max_examples=examples(40), deadline=None)
@given(documents())
def test_no_way_runs_through_a_step(document: dict[str, Any]) -> None:
    _, drawing = drawn(document)
    solid = [box for box in drawing.boxes if box.node.inner is None]
    for line in drawing.lines:
        for (x1, y1), (x2, y2) in pairwise(line.points):
            for box in solid:
                crosses = (
                    min(x1, x2) < box.x + box.width - 1
                    and max(x1, x2) > box.x + 1
                    and min(y1, y2) < box.y + box.height - 1
                    and max(y1, y2) > box.y + 1
                )
                assert not crosses, (line.edge, box.node.id)


@settings(max_examples=examples(15), deadline=None)
@given(documents())
def test_the_same_document_is_always_the_same_picture(document: dict[str, Any]) -> None:
    texts = {picture(drawn(document)[1], title="Any", words=describe(document, labels=LABELS)) for _ in range(2)}
    assert len(texts) == 1
    ElementTree.fromstring(texts.pop())
    ElementTree.fromstring(thumbnail(arrange(chart_of(document, labels=LABELS), SMALL), title="Any", style="a{}"))


def line_to(drawing: Drawing, source: str, target: str) -> Line:
    return next(line for line in drawing.lines if (line.edge.source, line.edge.target) == (source, target))


def test_the_first_branch_stands_left_and_both_say_what_they_are() -> None:
    document: dict[str, Any] = {
        "steps": [
            {"key": "check", "type": "condition", "if": "x", "on": {"true": "a", "false": "b"}},
            {"key": "a", "type": "wait", "next": "end"},
            {"key": "b", "type": "wait"},
        ]
    }
    _, drawing = drawn(document)
    boxes = {box.node.id: box for box in drawing.boxes}
    assert boxes["a"].x < boxes["b"].x and boxes["a"].y == boxes["b"].y
    assert (line_to(drawing, "check", "a").edge.label, line_to(drawing, "check", "b").edge.label) == ("yes", "no")
    swapped = {
        **document,
        "steps": [{**document["steps"][0], "on": {"true": "b", "false": "a"}}, *document["steps"][1:]],
    }
    boxes = {box.node.id: box for box in drawn(swapped)[1].boxes}
    assert boxes["b"].x < boxes["a"].x


def test_a_branch_that_waits_for_others_stands_below_them_inside_the_box_of_its_block() -> None:
    branches = [
        {"name": "email", "steps": [{"key": "mail", "type": "send_email"}]},
        {"name": "sms", "if": {"field": "contact.phone", "operator": "is_not_empty"}, "steps": []},
        {"name": "owner", "after": ["email", "sms:done"], "steps": [{"key": "tell", "type": "notify"}]},
    ]
    _, drawing = drawn({"steps": [{"key": "out", "type": "parallel", "with": {"branches": branches}}]})
    boxes = {box.node.id: box for box in drawing.boxes}
    assert boxes["out.email"].y == boxes["out.sms"].y < boxes["out.owner"].y
    assert boxes["out.email"].x < boxes["out.sms"].x
    assert boxes["out.sms"].node.detail == "if contact.phone is not empty"
    assert line_to(drawing, "out.sms", "out.owner").edge.label == "done"


def test_a_loop_leads_back_to_its_first_step() -> None:
    body = [{"key": "one", "type": "wait"}, {"key": "two", "type": "wait"}]
    _, drawing = drawn(
        {"steps": [{"key": "again", "type": "loop", "with": {"over": "= items", "as": "item", "steps": body}}]}
    )
    back = line_to(drawing, "two", "one")
    assert back.back and back.edge.label == "again"
    assert next(box for box in drawing.boxes if box.node.id == "again").node.detail == "for each item of items"


def test_given_edges_are_drawn_as_given() -> None:
    document = {
        "steps": [{"key": key, "type": "wait"} for key in "abcd"],
        "edges": [
            {"from": "a", "to": "b"}, {"from": "a", "to": "c"}, {"from": "b", "to": "d"}, {"from": "c", "to": "d"},
        ],
    }  # fmt: skip
    _, drawing = drawn(document)
    boxes = {box.node.id: box for box in drawing.boxes}
    assert boxes["b"].y == boxes["c"].y < boxes["d"].y
    assert line_to(drawing, "d", "d>end").points


def test_names_of_any_script_and_markup_are_shown_as_they_are() -> None:
    name = 'حملة <b>"&"</b> 欢迎 🎉 \x07'
    document = {"steps": [{"key": "a", "type": "wait", "name": name}]}
    root = ElementTree.fromstring(picture(drawn(document)[1], title=name, words=describe(document, labels=LABELS)))
    tips = [each.text or "" for each in root.iter(f"{SVG}title")]
    assert any('حملة <b>"&"</b> 欢迎 🎉' in tip for tip in tips)
    assert not [each for each in root.iter() if each.tag.endswith("}b")]


def test_counts_links_and_the_path_of_a_run_are_drawn_on_top() -> None:
    document = {"steps": [{"key": "a", "type": "wait"}, {"key": "b", "type": "wait"}]}
    look = Look(counts={"b": 1240}, states={"a": "done", "b": "now"}, taken=[("a", "b")], links="#step-")
    root = ElementTree.fromstring(picture(drawn(document)[1], title="Any", words="", look=look))
    assert [each.get("href") for each in root.iter(f"{SVG}a")] == ["#step-a", "#step-b"]
    classes = [each.get("class", "") for each in root.iter(f"{SVG}g")]
    assert {"pp-step pp-done", "pp-step pp-now", "pp-way pp-taken", "pp-way pp-untaken"} <= set(classes)
    assert "1,240" in [each.text for each in root.iter(f"{SVG}text")]


def test_the_words_tell_every_step_and_what_is_inside() -> None:
    body = [{"key": "one", "type": "wait", "delay": 3600}]
    document = {
        "triggers": [{"type": "created", "model": "contacts.contact"}, {"type": "manual"}],
        "steps": [
            {"type": "send_email", "name": "Hello"},
            {"key": "again", "type": "loop", "with": {"times": 2, "steps": body}},
        ],
    }
    assert describe(document, labels=LABELS) == (
        "Begins: new contact, by hand. 1. Hello (immediately). 2. loop (immediately) — 1. Wait (after 1 hour)."
    )
    assert describe({"steps": []}, labels=LABELS) == "No steps yet."


def test_fifty_steps_take_less_than_a_tenth_of_a_second() -> None:
    steps: list[dict[str, Any]] = []
    for at in range(50):
        target = {"true": f"s{min(at + 7, 49)}", "false": f"s{max(at - 9, 0)}" if at % 4 == 0 else "next"}
        steps.append(
            {"key": f"s{at}", "type": "condition", "if": "x", "on": target}
            if at % 3 == 0
            else {"key": f"s{at}", "type": "wait"}
        )
    document = {"steps": steps}
    taken = []
    for _ in range(3):
        before = time.process_time()
        picture(drawn(document)[1], title="Many", words=describe(document, labels=LABELS))
        taken.append(time.process_time() - before)
    assert min(taken) < 0.1
    assert arrange(chart_of(document, labels=LABELS), FULL).height > 1_000
