"""A pipeline drawn with edges is published as lists and blocks, and comes out with its edges again."""

from typing import Any

import pytest

from pipelines.definition.document import dumps
from pipelines.definition.program import Program
from pipelines.documents import document_of, normal
from pipelines.models import Pipeline, PipelineStep
from pipelines.operations import InvalidDocument, import_document, publish
from tests.pipelines.operations.builders import a_document, a_team, email

pytestmark = pytest.mark.django_db
DIAMOND = [
    {"from": "a", "to": "b"},
    {"from": "a", "to": "c"},
    {"from": "b", "to": "d"},
    {"from": "c", "to": "d"},
]


def drawn(**more: Any) -> dict[str, Any]:
    return a_document(*[email(key) for key in "abcd"], edges=DIAMOND, **more)


def program(pipeline: Pipeline) -> Program:
    assert pipeline.current_version is not None
    return Program.load(pipeline.current_version.program)


def test_forks_become_blocks_with_an_identity_of_their_own() -> None:
    pipeline = import_document(team=a_team(), document=drawn())
    publish(pipeline=pipeline)

    found = program(pipeline)
    fork = PipelineStep.objects.get(key="fork_a")
    assert {name: [step.key for step in steps] for name, steps in found.scopes.items()} == {
        "": ["a", "fork_a", "d"],
        "fork_a.b": ["b"],
        "fork_a.c": ["c"],
    }
    assert found.by_key["fork_a"].id == fork.pk
    assert fork.archived_at is not None and fork.number == -fork.pk
    assert found.by_key["b"].id == PipelineStep.objects.get(key="b").pk


def test_the_edges_are_exported_as_they_came() -> None:
    pipeline = import_document(team=a_team(), document=drawn())
    publish(pipeline=pipeline)

    assert dumps(document_of(Pipeline.objects.get(pk=pipeline.pk))) == dumps(normal(drawn()))


def test_a_fork_keeps_its_identity_from_version_to_version() -> None:
    team = a_team()
    pipeline = import_document(team=team, document=drawn())
    publish(pipeline=pipeline)
    first = program(pipeline).by_key["fork_a"].id

    pipeline = import_document(team=team, document=drawn(name="Renamed"), publishes=True)

    assert pipeline.versions.count() == 2
    assert program(pipeline).by_key["fork_a"].id == first


def test_a_circle_through_a_fork_is_refused_with_its_edge() -> None:
    with pytest.raises(InvalidDocument) as refused:
        import_document(team=a_team(), document=drawn() | {"edges": [*DIAMOND, {"from": "d", "to": "a"}]})

    assert [(each.path, "use a loop" in each.message) for each in refused.value.errors] == [("edges[4]", True)]
