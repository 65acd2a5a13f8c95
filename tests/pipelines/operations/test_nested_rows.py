"""Steps inside blocks as rows: they come back where they stood, and keep their identity when they move."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from crm.models import Team
from pipelines.definition.document import dumps
from pipelines.documents import apply_document, document_of, normal
from pipelines.models import Pipeline, PipelineStep
from tests.examples import examples
from tests.pipelines.definition.strategies import documents
from tests.pipelines.operations.builders import a_document, a_team, email

pytestmark = pytest.mark.django_db

EXAMPLES = sorted(Path(__file__).parent.with_name("definition").joinpath("examples").glob("*.json"))


def branch(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, **more, "steps": list(steps)}


def parallel(key: str, *branches: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "type": "parallel", "with": {"branches": list(branches)}}


def stored(document: dict[str, Any], pipeline: Pipeline | None = None) -> Pipeline:
    pipeline = pipeline or Pipeline(team=Team.objects.filter(slug="sales").first() or a_team())
    apply_document(pipeline, document)
    return Pipeline.objects.get(pk=pipeline.pk)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_comes_back_byte_for_byte(path: Path) -> None:
    document = json.loads(path.read_text())

    assert dumps(document_of(stored(document))) == dumps(normal(document))


@settings(deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents())
def test_any_nested_document_comes_back_byte_for_byte(document: dict[str, Any]) -> None:
    Pipeline.objects.all().delete()
    pipeline = stored(document)
    before = list(PipelineStep.objects.values().order_by("id"))

    assert dumps(document_of(pipeline)) == dumps(normal(document))
    stored(document_of(pipeline), pipeline)
    assert list(PipelineStep.objects.values().order_by("id")) == before


def test_rows_know_the_block_and_the_branch_they_stand_in() -> None:
    stored(a_document(parallel("fork", branch("a", email("one")), branch("b", email("two")))))

    fork = PipelineStep.objects.get(key="fork")
    assert fork.data == {"branches": [{"name": "a"}, {"name": "b"}]}
    assert list(fork.children.order_by("branch").values_list("key", "branch", "number")) == [
        ("one", "a", 1),
        ("two", "b", 1),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            [email("x"), parallel("fork", branch("a", email("y")))],
            [parallel("fork", branch("a", email("x"), email("y")))],
        ),
        (
            [parallel("fork", branch("a", email("x"), email("y")))],
            [email("x"), parallel("fork", branch("a", email("y")))],
        ),
        ([parallel("fork", branch("a", email("x")))], [email("x")]),
        (
            [parallel("fork", branch("a", email("x")), branch("b", email("y")))],
            [parallel("fork", branch("a", email("y")), branch("b", email("x")))],
        ),
    ],
    ids=["into a branch", "out of a branch", "out of a block that vanishes", "to another branch"],
)
def test_a_step_that_moves_keeps_its_identity(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    pipeline = stored(a_document(*before))
    ids = dict(PipelineStep.objects.filter(key__in=["x", "y"]).values_list("key", "id"))

    document = a_document(*after)
    stored(document, pipeline)

    assert dict(PipelineStep.objects.filter(key__in=["x", "y"]).values_list("key", "id")) == ids
    assert dumps(document_of(pipeline)) == dumps(normal(document))


def test_steps_of_a_branch_struck_from_its_row_are_not_lost() -> None:
    pipeline = stored(a_document(parallel("fork", branch("a", email("x")), branch("b", email("y")))))
    PipelineStep.objects.filter(key="fork").update(data={"branches": [{"name": "a"}]})

    (fork,) = document_of(pipeline)["steps"]
    assert [(each["name"], [step["key"] for step in each["steps"]]) for each in fork["with"]["branches"]] == [
        ("a", ["x"]),
        ("b", ["y"]),
    ]
