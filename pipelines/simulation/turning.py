"""Where a run turned away from the steps that are asked about: its last visit from which they could be reached."""

from pipelines.definition.passing import still_ahead
from pipelines.definition.program import Program, Step
from pipelines.definition.succession import top_of
from pipelines.models import PipelineRun, StepExecution
from pipelines.simulation.facts import Facts


def turned_away(facts: Facts, run: PipelineRun) -> StepExecution | None:
    """The visit that led the run past every wanted step.

    None where it never could come to one, and where it ended on its way there: by a goal, an exit, or a hand.
    """
    program = facts.programs.get(run.version_id)
    if program is None:
        return None
    ahead = _leading_to(facts.wanted, program)
    visits = facts.visits[run.pk]
    for visit in reversed(visits):
        step = program.by_id.get(visit.step_id)
        if visit.run_id != run.pk or visit.outcome is None or step is None or step.id not in ahead:
            continue
        target = program.target(step, visit.outcome)
        if isinstance(target, Step) and target.id in ahead:
            return None
        inside = _decision_inside(step, visits, program)
        return inside or (None if visit.outcome == "next" else visit)
    return None


def _leading_to(wanted: set[int], program: Program) -> frozenset[int]:
    """The steps of the top level from which a wanted one may be reached, wherever it stands."""
    found: set[int] = set()
    for pk in wanted & program.by_id.keys():
        top = top_of(program.by_id[pk], program)
        if top.id not in found:
            found |= still_ahead(top, program=program)
    return frozenset(found)


def _decision_inside(block: Step, visits: list[StepExecution], program: Program) -> StepExecution | None:
    """The last decision with reasons in one of the lists that a block opens."""
    for visit in reversed(visits):
        step = program.by_id.get(visit.step_id)
        decided = visit.why and visit.outcome not in (None, "next")
        if decided and step is not None and step.scope and top_of(step, program) is block:
            return visit
    return None
