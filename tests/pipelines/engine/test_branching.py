"""Several ways on: the first case that fits, and variants that stay the same for each subject."""

from collections import Counter
from typing import Any

import pytest

from contacts.models import Contact
from crm.models import Team
from pipelines.actions.branching import choose, draw
from pipelines.documents import document_of
from pipelines.engine.enroll import enroll
from pipelines.models import PipelineRun, StepExecution
from pipelines.operations import InvalidDocument
from pipelines.states import RunStatus
from tests.pipelines.engine.building import NOON, active
from tests.pipelines.engine.conftest import Run

CASES = [
    {"name": "vip", "if": {"field": "contact.lifecycle_stage", "operator": "equals", "value": "customer"}},
    {"name": "known", "if": "contact.email != ''"},
]


def marked(key: str) -> dict[str, Any]:
    values = {"values": {"lead_source": key}}
    return {"key": key, "type": "update_record", "with": values, "next": "end"}


def switch(**more: Any) -> dict[str, Any]:
    return {"key": "route", "type": "switch", "with": {"cases": CASES}, **more}


@pytest.mark.parametrize(
    ("values", "way"),
    [
        ({"lifecycle_stage": "customer", "email": "a@example.org"}, "vip"),
        ({"email": "a@example.org"}, "known"),
        ({"first_name": "Ann"}, "default"),
    ],
    ids=["first", "second", "default"],
)
def test_a_switch_goes_the_way_of_the_first_case_that_fits(
    team: Team, run_at: Run, values: dict[str, str], way: str
) -> None:
    on = {"vip": "to_vip", "known": "to_known", "default": "to_default"}
    active(team, [switch(on=on), marked("to_vip"), marked("to_known"), marked("to_default")])
    contact = Contact.objects.create(team=team, **values)
    run_at(NOON)
    contact.refresh_from_db()
    assert contact.lead_source == f"to_{way}"
    visit = StepExecution.objects.order_by("id")[0]
    assert visit.outcome == way and visit.output == {"case": way}
    assert visit.why and {leaf["case"] for leaf in visit.why} <= {"vip", "known"}


def test_a_case_without_a_way_falls_through_to_the_next_step(team: Team, run_at: Run) -> None:
    active(team, [switch(), marked("following")])
    contact = Contact.objects.create(team=team, email="a@example.org")
    run_at(NOON)
    contact.refresh_from_db()
    assert contact.lead_source == "following"


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ({"type": "switch", "with": {"cases": [CASES[0], CASES[0]]}}, "steps[0].with.cases[0].name"),
        ({"type": "switch", "with": {"cases": [{"name": "error", "if": True}]}}, "steps[0].with.cases[0].name"),
        ({"type": "split", "with": {"variants": [{"name": "a"}]}}, "steps[0].with.variants"),
        (
            {"type": "split", "with": {"variants": [{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]}},
            "steps[0].with.variants",
        ),
        ({"type": "split", "with": {"variants": [{"name": "a"}, {"name": "b"}], "holdout": 10}}, "steps[0].on"),
        ({"type": "split", "with": {"variants": [{"name": "a"}, {"name": "b"}]}, "on": {"c": "end"}}, "steps[0].on.c"),
    ],
    ids=["case twice", "case named error", "one variant", "no weight", "holdout leads nowhere", "unknown variant"],
)
def test_what_makes_no_sense_is_refused_with_its_path(team: Team, step: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        active(team, [step, marked("rest")])
    assert path in [problem.path for problem in refused.value.problems]


def split(holdout: int | None = None) -> dict[str, Any]:
    given: dict[str, Any] = {"variants": [{"name": "short", "weight": 3}, {"name": "long"}]}
    on = {"short": "to_short", "long": "to_long"}
    if holdout:
        given["holdout"], on["holdout"] = holdout, "end"
    return {"key": "test", "type": "split", "with": given, "on": on}


def test_those_held_back_may_go_the_way_of_the_step_that_follows(team: Team) -> None:
    step = split(holdout=20)
    pipeline = active(team, [{**step, "on": {**step["on"], "holdout": "next"}}, marked("to_short"), marked("to_long")])
    assert document_of(pipeline)["steps"][0]["on"]["holdout"] == "next"


def test_a_split_shares_subjects_out_by_weight_and_holds_some_back(team: Team, run_at: Run) -> None:
    active(team, [split(holdout=20), marked("to_short"), marked("to_long")])
    for number in range(400):
        Contact.objects.create(team=team, first_name=f"c{number}")
    run_at(NOON)
    ways = Counter(Contact.objects.values_list("lead_source", flat=True))
    assert 50 <= ways[""] <= 110
    assert 190 <= ways["to_short"] <= 290 and 45 <= ways["to_long"] <= 120
    assert not PipelineRun.objects.exclude(status=RunStatus.COMPLETED).exists()


def test_a_subject_that_comes_again_takes_the_same_variant(team: Team, run_at: Run) -> None:
    loop = {**marked("to_long"), "next": "again"}
    again = {"key": "again", "type": "condition", "if": "run.seq > 40", "on": {"true": "end", "false": "test"}}
    active(team, [split(), {**marked("to_short"), "next": "again"}, loop, again])
    Contact.objects.create(team=team, first_name="Ann")
    run_at(NOON)
    drawn = StepExecution.objects.filter(outcome__in=["short", "long"]).values_list("outcome", flat=True)
    assert len(drawn) > 5 and len(set(drawn)) == 1


def test_a_subject_keeps_its_variant_through_new_versions_and_moves_only_towards_a_heavier_one(
    team: Team, run_at: Run
) -> None:
    def published(weight: int, *before: dict[str, Any]) -> dict[int, str]:
        """Publish with another weight of `long`, let everybody through once more, and tell who went which way."""
        step = split()
        step["with"]["variants"][1]["weight"] = weight
        again = [{"type": "manual", "reentry": "always"}]
        pipeline = active(team, [*before, step, marked("to_short"), marked("to_long")], triggers=again)
        enroll(pipeline=pipeline, subject_ids=ids)
        run_at(NOON)
        return dict(Contact.objects.values_list("pk", "lead_source"))

    ids = [Contact.objects.create(team=team, first_name=f"c{number}").pk for number in range(120)]
    first = published(1)
    assert published(1, {"key": "new", "type": "wait"}) == first
    heavier = published(9)
    moved = {(first[pk], heavier[pk]) for pk in ids if heavier[pk] != first[pk]}
    assert moved == {("to_short", "to_long")}


def test_steps_draw_independently_unless_they_share_a_seed() -> None:
    people = [f"contacts.contact:{number}" for number in range(2000)]

    def drawn(seed: str) -> list[float]:
        return [draw(seed=seed, who=who, purpose="variant") for who in people]

    assert drawn("a") == drawn("a")
    both = sum(1 for one, two in zip(drawn("a"), drawn("b"), strict=True) if one < 0.5 and two < 0.5)
    assert 430 < both < 570


def test_a_weight_of_nothing_is_never_chosen() -> None:
    variants = [{"name": "never", "weight": 0}, {"name": "always", "weight": 1}, {"name": "no", "weight": 0}]
    assert {choose(variants, position) for position in (0.0, 0.5, 1.0)} == {"always"}
