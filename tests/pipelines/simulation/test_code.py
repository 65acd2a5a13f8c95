"""Code steps in simulations: the same results as in the sandbox of a worker, unless a stub says otherwise."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from contacts.models import Contact
from crm.models import Team
from pipelines.models import PipelineRun
from pipelines.operations import InvalidDocument
from pipelines.sandbox import running
from pipelines.simulation.report import report_of
from tests.api import Api
from tests.pipelines.engine.building import NOON, active, document, later
from tests.pipelines.engine.conftest import Run
from tests.pipelines.simulation.conftest import Play
from tests.pipelines.simulation.side_by_side import told

SCORE = [{"name": "score", "type": "number", "default": 2}]


@pytest.fixture(autouse=True)
def switched_on(settings: Settings) -> Iterator[None]:
    settings.PIPELINES_CODE_STEPS = True
    yield
    running.close()


def code(source: str, key: str = "work", **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "code", "with": {"source": source}, **more}


KEEP = {"key": "keep", "type": "set_variable", "with": {"score": "= steps.work.n"}}
LATE = (
    "from datetime import datetime\nprint('seen')\nresult = {'n': datetime.now().hour * 100 + context['vars']['score']}"
)
LINES: dict[str, list[dict[str, Any]]] = {
    "its result, at its own time": [code(LATE, delay="3h"), KEEP],
    "its error and the line": [code("x = 1\nresult = x / 0", on={"error": "next"}, set={"score": 9})],
    "its limits": [code("while True: pass", timeout=0.2)],
    "rounds of a loop": [
        {"key": "rounds", "type": "loop", "with": {"times": 3, "export": ["score"], "steps": [
            code("result = {'n': context['vars']['score'] * 2}", set={"score": "= steps.work.n"}),
        ]}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("line", LINES.values(), ids=list(LINES))
def test_a_simulation_tells_what_code_then_does(
    team: Team, play: Play, run_at: Run, line: list[dict[str, Any]]
) -> None:
    ann = Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    before = play(line, subject=ann.pk, more={"variables": SCORE}, entry="by_hand")
    pipeline = active(team, line, key="real", triggers=[{"type": "manual"}], variables=SCORE)
    started = Api(team).post(f"pipelines/{pipeline.key}/trigger/", {"subject": ann.pk})
    assert started.status_code == 200, started.content
    for hours in (0, 3):
        run_at(later(hours=hours))
    after = report_of(PipelineRun.objects.get(parent=None))
    assert told(before) == told(after)
    assert [each["output"] for each in before["steps"]] == [each["output"] for each in after["steps"]]


def test_a_stub_stands_for_the_result_or_the_error_of_code(play: Play) -> None:
    steps = [code("result = {'n': 1}", retry={"max": 1, "delay": 60, "on": ["code"]}), KEEP]
    report = play(steps, more={"variables": SCORE}, stubs={"work": [{"error": "code"}, {"n": 7}]})
    assert report["context"]["vars"] == {"score": 7} and report["warnings"] == []
    assert [(each["key"], each["event"]) for each in report["steps"]] == [
        ("work", "retried"), ("work", "completed"), ("keep", "completed"),
    ]  # fmt: skip


def test_without_leave_nothing_runs_and_the_simulation_says_what_to_do(play: Play, settings: Settings) -> None:
    settings.PIPELINES_CODE_STEPS = False
    with pytest.raises(InvalidDocument) as refused:
        play([code("result = 1")])
    (problem,) = refused.value.errors
    assert problem.path == "steps[0].type" and "PIPELINES_CODE_STEPS=1" in problem.message


def test_new_code_is_simulated_only_for_those_who_may_write_it(team: Team) -> None:
    written = document([code("result = {'n': 4}"), KEEP], key="coded", variables=SCORE)
    manager, admin = Api(team, role="manager"), Api(team, role="admin")
    story = {"subject": {"first_name": "Sam"}, "start": NOON.isoformat()}
    assert manager.post("pipelines/simulate/", {**story, "document": written}).status_code == 403
    assert admin.post("pipelines/simulate/", {**story, "document": written}).json()["context"]["vars"] == {"score": 4}
    assert admin.post("pipelines/", written).status_code == 201
    # What an admin has written may be tried out by everybody who works here.
    path = "pipelines/coded/simulate/"
    assert manager.post(path, story).json()["context"]["vars"] == {"score": 4}
    assert manager.post(path, {**story, "document": written}).status_code == 200
    other = {**written, "steps": [code("result = {'n': 5}"), KEEP]}
    assert manager.post(path, {**story, "document": other}).status_code == 403


@pytest.mark.parametrize("document", [{"steps": 5}, {"steps": [5]}, {"steps": [{"type": "code", "with": 3}]}])
def test_a_document_of_no_shape_is_refused_before_anybody_looks_for_code(team: Team, document: dict[str, Any]) -> None:
    assert Api(team).post("pipelines/simulate/", {"document": document}).status_code == 400
