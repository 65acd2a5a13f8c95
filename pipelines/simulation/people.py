"""What people answer in a story: each task with a form gets the answer that the scenario has for its step."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from crm.models import Member, Task
from crm.work import AnswersRefused, TaskRefused, Worker, worker_of_member
from pipelines.models import HumanTask, PipelineStep
from pipelines.models.human import OPEN
from pipelines.operations.people import answer_form
from pipelines.simulation.play import Outside
from pipelines.simulation.scenario import Response, ScenarioError


class People:
    """Answers tasks as they come up; the second visit of a step gets its second answer, and so on."""

    def __init__(self, responses: Mapping[str, tuple[Response, ...]], outside: Outside) -> None:
        self._responses, self._outside = responses, outside
        self._given: Counter[tuple[int, str]] = Counter()
        self._seen: set[int] = set()

    def look(self, now: datetime) -> None:
        """Note when each new task will be answered; tasks without an answer stay open."""
        if not self._responses:
            return
        fresh = HumanTask.objects.filter(status__in=OPEN).exclude(pk__in=self._seen).select_related("run", "task__team")
        keys = dict(PipelineStep.objects.filter(key__in=self._responses).values_list("pk", "key"))
        for row in fresh:
            self._seen.add(row.pk)
            key = keys.get(row.run.step_id or 0, "")
            root = row.run.root_id or row.run.pk
            turn = self._given[root, key]
            if key and turn < len(self._responses[key]):
                self._given[root, key] += 1
                response = self._responses[key][turn]
                moment = row.created_at + timedelta(seconds=response.after)
                self._outside.at(max(moment, now), _answer(row.task, response, f"responses.{key}[{turn}]"))


def _answer(task: Task, response: Response, path: str) -> Callable[[datetime], None]:
    def give(now: datetime) -> None:
        task.refresh_from_db()
        if task.status != Task.Status.OPEN:
            return  # its time was over before the answer came
        try:
            answer_form(task=task, worker=_worker(task), outcome=response.outcome, values=response.values)
        except AnswersRefused as error:
            name, sentence = next(iter(error.errors.items()))
            where = f"{path}.outcome" if name == "outcome" else f"{path}.values.{name}"
            raise ScenarioError(where, sentence) from None
        except TaskRefused as error:
            raise ScenarioError(path, str(error)) from None

    return give


def _worker(task: Task) -> Worker:
    """Whoever has the task, else somebody who may take any."""
    if task.assignee is not None:
        return worker_of_member(user=task.assignee, team=task.team)
    leader = Member.objects.filter(team=task.team, role="owner").select_related("user").first()
    if leader is not None:
        return worker_of_member(user=leader.user, team=task.team)
    return Worker(role="owner", label="Somebody")
