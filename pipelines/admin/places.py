"""Where a run inside another is, in words: a branch, a round, or called by a step."""

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString

from pipelines.actions.registry import step_title
from pipelines.admin.links import link_to
from pipelines.lineage import Place
from pipelines.models import PipelineRun


def part(place: Place) -> str:
    """Alone: "branch ‘order’", "round 2", "pipeline ‘Other’"."""
    if place.called:
        return f"pipeline ‘{place.pipeline}’" if place.pipeline is not None else "a called pipeline"
    return f"branch ‘{place.branch}’" if place.branch else f"round {place.round}"


def noun(places: Sequence[Place]) -> str:
    """What a run is called where it is: "run", "branch", "round"."""
    if not places or places[-1].called:
        return "called pipeline" if places else "run"
    return "branch" if places[-1].branch else "round"


def parts(places: Sequence[Place]) -> str:
    """From the outside in: "branch ‘order’, round 2"."""
    return ", ".join(map(part, places))


def blocks(places: Sequence[Place]) -> str:
    """The same with the names of the blocks, for whoever points at it."""
    return ", ".join(part(place) + _of_block(place) for place in places)


def began(place: Place) -> SafeString:
    """Such as "Began as branch ‘order’ of ‘Order and tell’ in run 297", or "Called by ‘Ask’ in run 297"."""
    return _capital(_inside(place)) if place.called else format_html("Began as {}", _inside(place))


def whole_way(places: Sequence[Place]) -> SafeString:
    """From the inside out: "Round 2 of ‘Each’ in run 301, which is branch ‘order’ of ‘Order and tell’ in run 297"."""
    told = SafeString("")
    for place in places:
        joint = ", which was " if place.called else ", which is "
        told = format_html("{}{}{}", told, joint, _inside(place)) if told else _inside(place)
    return _capital(told)


def _inside(place: Place) -> SafeString:
    own = _of_block(place).strip() or "called" if place.called else part(place) + _of_block(place)
    number = place.run.parent_id
    return format_html("{} in {}", own, link_to(PipelineRun(pk=number), f"run {number}"))


def _of_block(place: Place) -> str:
    if place.block is None:
        return ""
    return f" called by ‘{step_title(place.block)}’" if place.called else f" of ‘{step_title(place.block)}’"


def _capital(sentence: SafeString) -> SafeString:
    return SafeString(sentence[:1].upper() + sentence[1:])
