"""Which runs are meant when people count: of a team, no tests, whole ones, and each who came in once."""

from typing import TYPE_CHECKING, Self

from crm.models import Team, TeamScopedQuerySet
from pipelines.models.pipeline import Pipeline
from pipelines.states import ASIDE, RunPhase

if TYPE_CHECKING:
    from pipelines.models.run import PipelineRun  # noqa: F401


class RunQuerySet(TeamScopedQuerySet["PipelineRun"]):
    """Runs, narrowed to a team by the pipelines it has."""

    def for_team(self, team: Team | None) -> Self:
        """With the pipelines named one by one the database knows how many runs to expect, and picks the right index.

        Through a join it must guess, and then reads a million rows to show the newest fifty.
        """
        if team is None:
            return self
        return self.filter(pipeline_id__in=list(Pipeline.objects.filter(team=team).values_list("pk", flat=True)))

    def real(self) -> Self:
        """Those that are no tests."""
        return self.filter(test=False)

    def entered(self) -> Self:
        """Those that people count: each is somebody who entered, neither a test nor what goes on inside another run."""
        return self.real().filter(parent=None)

    def came_in(self) -> Self:
        """Those that figures and limits go by: a later step that somebody is given aside is no second entry."""
        return self.entered().exclude(phase=RunPhase.ASIDE).exclude(reason=ASIDE)
