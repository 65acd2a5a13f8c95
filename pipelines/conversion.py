"""Goals reached and what they are worth, and which variant of a split reaches them more often."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Sum

from pipelines.actions.registry import step_title
from pipelines.chosen import Chosen, chosen_variants
from pipelines.definition.confidence import Share, compare, wilson
from pipelines.models import GoalHit, Pipeline, PipelineRun, PipelineStep, StepExecution

HOLDOUT = "holdout"
# Who drew which variant first, for each run at the top; found by the runs of the pipeline, never through the whole log.
_ASSIGNED = f"""
    SELECT e.step_id, e.outcome AS variant, COALESCE(r.root_id, r.id) AS run_id, MIN(e.at) AS at
    FROM {PipelineRun._meta.db_table} r JOIN {StepExecution._meta.db_table} e ON e.run_id = r.id
    WHERE r.pipeline_id = %s AND NOT r.test AND e.event = %s
          AND e.step_id IN (SELECT id FROM {PipelineStep._meta.db_table}
          WHERE pipeline_id = %s AND action_type = 'split' AND archived_at IS NULL)
    GROUP BY e.step_id, e.outcome, COALESCE(r.root_id, r.id)
"""  # noqa: S608 - names of tables only
_DRAWN = f"SELECT a.step_id, a.variant, COUNT(*) FROM ({_ASSIGNED}) a GROUP BY a.step_id, a.variant"  # noqa: S608
_REACHED = f"""
    SELECT a.step_id, a.variant, g.goal, COUNT(*), SUM(g.value)
    FROM ({_ASSIGNED}) a JOIN {GoalHit._meta.db_table} g ON g.run_id = a.run_id AND g.at >= a.at
    GROUP BY a.step_id, a.variant, g.goal
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Reached:
    """How many of some runs reached a goal, between which shares the truth lies, and what it was worth."""

    name: str
    runs: int
    reached: int
    value: Decimal

    @property
    def rate(self) -> float:
        return self.reached / self.runs if self.runs else 0.0

    @property
    def between(self) -> tuple[float, float]:
        return wilson(self.reached, self.runs)

    @property
    def value_per_run(self) -> Decimal:
        return (self.value / self.runs).quantize(Decimal("0.0001")) if self.runs else Decimal(0)

    @property
    def percent(self) -> str:
        return f"{self.rate:.1%}"

    @property
    def percents(self) -> str:
        low, high = self.between
        return f"{low:.1%} – {high:.1%}"

    def as_dict(self, name: str) -> dict[str, Any]:
        low, high = self.between
        return {
            name: self.name,
            "runs": self.runs,
            "reached": self.reached,
            "rate": round(self.rate, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "value": str(self.value),
            "value_per_run": str(self.value_per_run),
        }


@dataclass(frozen=True, slots=True)
class Contest:
    """The variants of one split under one goal: the best so far, and whether that is sure enough to choose it.

    `goal` is empty where the pipeline has none: then only who drew what is known.
    """

    step: str
    title: str
    goal: str
    variants: tuple[Reached, ...]
    best: str | None
    p_value: float | None
    decided: bool
    chosen: Chosen | None = None
    # Those the step names now; what it had before is shown, and can win no more.
    choosable: frozenset[str] = frozenset()

    @property
    def verdict(self) -> str:
        """How sure the lead is, in one sentence."""
        if not self.goal:
            return "Without a goal nobody can say which variant is better."
        if self.p_value is None:
            return "Nobody has come here yet, or to one variant only."
        sure = "and that is no chance" if self.decided else "but that may be chance"
        return f"“{self.best}” leads, {sure} ({self.chance})."

    @property
    def chance(self) -> str:
        """The p-value as people read it."""
        if self.p_value is None:
            return ""
        return "p < 0.0001" if self.p_value < 0.0001 else f"p = {self.p_value:.4f}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "goal": self.goal or None,
            "variants": [variant.as_dict("variant") for variant in self.variants],
            "best": self.best,
            "p_value": None if self.p_value is None else round(self.p_value, 6),
            "winner": self.best if self.decided else None,
            "chosen": None if self.chosen is None else self.chosen.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the goals of a pipeline say."""

    goals: tuple[Reached, ...] = ()
    contests: tuple[Contest, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return {
            "goals": [goal.as_dict("goal") for goal in self.goals],
            "splits": [contest.as_dict() for contest in self.contests],
        }


def conversion(*, pipeline: Pipeline) -> Conversion:
    """Every goal over all runs, and every split under every goal; a fixed number of statements.

    A goal counts for a variant when it was reached after the run had drawn it. Without goals splits tell who drew what.
    """
    keys = [str(goal["key"]) for goal in pipeline.goals]
    if not keys:
        return Conversion(contests=tuple(_contests(pipeline, [""])))
    total = PipelineRun.objects.came_in().filter(pipeline=pipeline).count()
    hits = GoalHit.objects.filter(run__pipeline=pipeline, run__parent=None).values("goal").order_by()
    found: dict[str, tuple[int, Any]] = {
        row["goal"]: (row["n"], row["worth"]) for row in hits.annotate(n=Count("pk"), worth=Sum("value"))
    }
    nobody = (0, None)
    goals = tuple(Reached(key, total, found.get(key, nobody)[0], _money(found.get(key, nobody)[1])) for key in keys)
    return Conversion(goals, tuple(_contests(pipeline, keys)))


def _contests(pipeline: Pipeline, keys: Sequence[str]) -> list[Contest]:
    splits = list(
        PipelineStep.objects.filter(pipeline=pipeline, action_type="split", archived_at=None).order_by("number", "pk")
    )
    if not splits:
        return []
    parameters = [pipeline.pk, StepExecution.Event.COMPLETED.value, pipeline.pk]
    drawn: dict[int, dict[str, int]] = {}
    for step_id, variant, n in _rows(_DRAWN, parameters):
        drawn.setdefault(step_id, {})[variant or ""] = n
    reached = {(step, variant, goal): (n, worth) for step, variant, goal, n, worth in _rows(_REACHED, parameters)}
    chosen = chosen_variants(pipeline=pipeline, splits=splits)
    return [
        _contest(step, key, drawn.get(step.pk, {}), reached, chosen.get(step.key)) for step in splits for key in keys
    ]


def _contest(
    step: PipelineStep, goal: str, drawn: Mapping[str, int], reached: Mapping[Any, Any], chosen: Chosen | None
) -> Contest:
    variants = []
    for name in _names(step, drawn):
        n, worth = reached.get((step.pk, name, goal), (0, None))
        variants.append(Reached(name, drawn.get(name, 0), n, _money(worth)))
    # Who was held out is shown beside the variants, and is none that could win.
    shares = [Share(each.name, each.reached, each.runs) for each in variants if each.name != HOLDOUT]
    verdict = compare(shares if goal else [])
    return Contest(
        step=step.key,
        title=step_title(step),
        goal=goal,
        variants=tuple(variants),
        best=verdict.best,
        p_value=verdict.p_value,
        decided=verdict.decided,
        chosen=chosen,
        choosable=frozenset(str(variant["name"]) for variant in step.data.get("variants", [])),
    )


def _names(step: PipelineStep, drawn: Mapping[str, int]) -> list[str]:
    """The variants as the step names them now, then those it had before."""
    now = [str(variant["name"]) for variant in step.data.get("variants", [])]
    return now + sorted(name for name in drawn if name not in now and name != "error")


def _rows(statement: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[Any] = cursor.fetchall()
        return rows


def _money(value: Any) -> Decimal:
    return Decimal(0) if value is None else Decimal(str(value)).quantize(Decimal("0.0001"))
