"""What differs between two versions is told step by step and field by field, in words."""

from typing import Any

import pytest

from pipelines.definition.difference import Change, difference
from pipelines.definition.picture.chart import Chart
from pipelines.definition.picture.graph import chart_of
from pipelines.definition.picture.merging import merged

LABELS = {"send_email": "Send email", "wait": "Wait", "loop": "Loop"}


def a_document(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "crm.pipeline/1", "key": "p", "name": "P", "steps": list(steps), **more}


def step(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "wait", **more}


def between(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    return difference(old, new, labels=LABELS)


def sentences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [change.sentence for change in between(old, new)]


def test_the_same_document_spelled_otherwise_has_no_difference() -> None:
    old = a_document(step("a", delay="1d"), step("b"), settings={"versioning": "follow"})
    new = a_document(step("a", delay=86_400, on={}), step("b", next="end"))
    assert between(old, new) == []


def test_a_changed_step_tells_each_field_with_its_old_and_new_value() -> None:
    old = a_document(step("mail", type="send_email", delay="1d", **{"with": {"subject": "Hi", "text": "x"}}))
    new = a_document(step("mail", type="send_email", delay="2d", **{"with": {"subject": "Hello", "text": "x"}}))
    (change,) = between(old, new)
    assert (change.what, change.key) == ("changed", "mail")
    assert [(each.field, each.before, each.after) for each in change.fields] == [
        ("delay", 86_400, 172_800),
        ("subject", "Hi", "Hello"),
    ]
    assert change.sentence == "Step “Send email” changed: wait 1 day → 2 days; subject “Hi” → “Hello”."


def test_added_removed_and_moved_steps_are_told_apart() -> None:
    old = a_document(step("a"), step("b"), step("c"), step("d"))
    new = a_document(step("a"), step("c"), step("e"), step("b"))
    assert [(each.what, each.key) for each in between(old, new)] == [
        ("added", "e"), ("moved", "b"), ("removed", "d"),
    ]  # fmt: skip


def test_a_step_that_moves_into_a_block_keeps_its_name_and_tells_its_place() -> None:
    body = step("again", type="loop", **{"with": {"times": 2, "steps": [step("b", delay=60)]}})
    changes = between(a_document(step("a"), step("b")), a_document(step("a"), body))
    assert [(each.what, each.key) for each in changes] == [("added", "again"), ("changed", "b")]
    assert changes[1].sentence == "Step “Wait” changed: place 2 → 1 in again; wait immediately → 1 minute."


def test_triggers_settings_and_the_rest_are_told() -> None:
    old = a_document(step("a"), triggers=[{"type": "manual"}], settings={"max_in_flight": 5})
    new = a_document(
        step("a"),
        name="Q",
        triggers=[{"type": "created", "model": "contacts.contact"}],
        settings={"max_in_flight": 9, "versioning": "pin"},
        goals=[{"name": "bought", "event": "order_paid"}],
    )
    assert sentences(old, new) == [
        "Pipeline changed: name “P” → “Q”.",
        "Trigger “new contact” added.",
        "Trigger “by hand” removed.",
        "Goal “bought” added.",
        "Settings changed: max in flight 5 → 9; versioning none → “pin”.",
    ]


def test_both_versions_are_one_picture_with_marks() -> None:
    old, new = a_document(step("a"), step("gone"), step("c")), a_document(step("a"), step("new"), step("c", delay=60))
    both = merged(chart_of(old, labels=LABELS), chart_of(new, labels=LABELS), marks={"c": "changed"})
    assert marks(both) == {"a": "", "new": "added", "c": "changed", "c>end": "", "gone": "removed"}
    ways = {(edge.source, edge.target): edge.mark for edge in both.edges}
    assert ways == {
        ("a", "new"): "added", ("new", "c"): "added", ("a", "gone"): "removed", ("gone", "c"): "removed",
        ("c", "c>end"): "",
    }  # fmt: skip


@pytest.mark.parametrize("inside", ["old", "new"])
def test_a_block_that_only_one_version_has_is_marked_with_all_that_is_inside(inside: str) -> None:
    block = step("again", type="loop", **{"with": {"times": 2, "steps": [step("b")]}})
    pair = (a_document(step("a"), block), a_document(step("a")))
    old, new = pair if inside == "old" else pair[::-1]
    both = merged(chart_of(old, labels=LABELS), chart_of(new, labels=LABELS), marks={})
    found = {node.id: node.mark for node in both.every_node()}
    assert found["again"] == found["b"] == ("removed" if inside == "old" else "added")


def marks(chart: Chart) -> dict[str, str]:
    return {node.id: node.mark for node in chart.nodes}
