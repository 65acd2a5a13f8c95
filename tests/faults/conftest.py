"""A house for each module of fault tests, and scenes in it."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.scenes import House, Scene, house

NewScene = Callable[[str], Scene]


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name = str(request.module.__name__).rpartition("_")[2]
    with house(tmp_path_factory.mktemp(name), name=f"faults_{name}") as made:
        yield made


@pytest.fixture
def scene(place: House) -> Iterator[NewScene]:
    """A pipeline for one kind of effect; worked off and closed when the test is over, so that the next is alone."""
    made: list[Scene] = []

    def new(kind: str) -> Scene:
        made.append(Scene(place, kind))
        made[-1].build()
        return made[-1]

    yield new
    place.nursery.at_hand("drain")
    for each in made:
        each.close()
