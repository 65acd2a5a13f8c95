"""Import and export are inverse to each other."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pipelines.definition.document import canonical, checksum, dumps
from pipelines.definition.layout import every_place
from pipelines.definition.program import compile_program
from pipelines.definition.shapes import document_shape
from tests.pipelines.definition.strategies import documents

EXAMPLES = sorted(Path(__file__).with_name("examples").glob("*.json"))


@given(documents())
def test_an_exported_document_imports_as_itself(document: dict[str, Any]) -> None:
    tidy = canonical(document)

    assert list(document_shape(document)) == []
    assert list(document_shape(tidy)) == []
    assert canonical(tidy) == tidy
    assert json.loads(dumps(document)) == tidy
    assert dumps(json.loads(dumps(document))) == dumps(document)
    assert checksum(tidy) == checksum(document)


@given(documents())
def test_the_canonical_form_means_the_same(document: dict[str, Any]) -> None:
    tidy = canonical(document)
    ids = {place.key: number for number, place in enumerate(every_place(document))}

    assert [place.key for place in every_place(tidy)] == [place.key for place in every_place(document)]
    assert compile_program(tidy, step_ids=ids) == compile_program(document, step_ids=ids)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_survive_export_and_import(path: Path) -> None:
    text = dumps(json.loads(path.read_text()))

    assert dumps(json.loads(text)) == text
    assert list(document_shape(json.loads(text))) == []
