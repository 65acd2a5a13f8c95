"""One team as its users see it: documents imported, people entered, a clock that jumps, and what arrived when."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType

from contacts.models import Contact
from crm.channels.captured import captured_names, read_captured
from crm.models import Member
from pipelines.engine.events import publish
from tests.api import Api
from tests.pipelines.engine.building import NOON
from tests.pipelines.engine.conftest import Run
from tests.sinks.smtp import SmtpSink

DOCUMENTS = Path(__file__).parents[2] / "pipelines" / "definition" / "examples"
HOUR, DAY = 60, 24 * 60

Arrival = tuple[int, str, str, str]


class Stage:
    """Speaks to the API; moments are minutes after noon of a Monday."""

    def __init__(self, api: Api, run_at: Run, smtp: SmtpSink) -> None:
        self.api, self.team = api, api.team
        self._run_at, self._smtp = run_at, smtp
        self._seen = {"email": 0, "letters": 0}

    def document(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((DOCUMENTS / f"{name}.json").read_text("utf-8"))
        return found

    def load(self, name: str) -> Any:
        """Import an example as it is and let it take people in."""
        return self.api.post("pipelines/import/?activate=true", self.document(name))

    def loaded(self, name: str, document: Mapping[str, Any] | None = None) -> None:
        """Import an example, as it is unless another form of it is given; it takes people in at once."""
        answer = self.api.post("pipelines/import/?activate=true", document) if document else self.load(name)
        assert answer.status_code == 201 and answer.json()["status"] == "active", answer.content

    def missing(self, name: str) -> dict[str, str]:
        """What the team lacks for an example, by path."""
        answer = self.load(name)
        assert answer.status_code == 400 and self.api.get("pipelines/").json()["results"] == []
        return {problem["path"]: problem["message"] for problem in answer.json()["errors"]}

    def template(self, key: str, *, subject: str = "", text: str = "Hello") -> None:
        given = {"key": key, "name": key, "subject": subject or key, "text": text, "topic": "marketing"}
        self.made("templates", given)

    def made(self, path: str, body: Mapping[str, Any]) -> int:
        answer = self.api.post(f"{path}/", body)
        assert answer.status_code == 201, answer.content
        return int(answer.json()["id"])

    def contact(self, name: str = "Ann", **more: Any) -> int:
        return self.made("contacts", {"first_name": name, "email": f"{name.lower()}@example.org", **more})

    def member(self, name: str, *, role: str = "member", groups: Sequence[str] = ()) -> User:
        user = User.objects.create_user(name, email=f"{name}@acme.example", first_name=name.title(), is_staff=True)
        Member.objects.create(team=self.team, user=user, role=role, groups=list(groups))
        return user

    def trigger(self, pipeline: str, subject: int | None, **more: Any) -> int:
        """Start a run by hand with a payload, and tell its id."""
        answer = self.api.post(f"pipelines/{pipeline}/trigger/", {"subject": subject, **more})
        assert answer.status_code == 200 and answer.json()["refused"] == [], answer.content
        return int(answer.json()["runs"][0])

    def event(self, kind: str, contact: int, **payload: Any) -> None:
        """Something happened to a contact."""
        of = ContentType.objects.get_for_model(Contact)
        publish(team_id=self.team.pk, type=kind, subject_type_id=of.pk, subject_id=contact, payload=payload)

    def run(self, run: int) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"pipeline-runs/{run}/").json()
        return found

    def run_of(self, contact: int, pipeline: str) -> int:
        """The one run of a contact in a pipeline."""
        (run,) = self.api.get("pipeline-runs/", contact=contact, pipeline=pipeline).json()["results"]
        return int(run["id"])

    def outcome(self, run: int) -> tuple[str, str]:
        found = self.run(run)
        return found["status"], found["reason"]

    def story(self, run: int) -> list[tuple[str, str]]:
        """(step, outcome) of every visit of the run itself, in order."""
        own = [visit for visit in self.run(run)["logs"] if not visit["branch"]]
        return [(visit["step"], visit["outcome"]) for visit in own if visit["outcome"]]

    def tasks(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("tasks/", **query).json()["results"]
        return found

    def answer(self, task: Mapping[str, Any], outcome: str = "", **values: Any) -> Any:
        body = {"values": values} | ({"outcome": outcome} if outcome else {})
        return self.api.post(f"tasks/{task['id']}/complete/", body)

    def walk(self, *minutes: float) -> list[Arrival]:
        """Let the clock jump to the minute before each moment and to it: what arrived as (minute, channel, to, title).

        Whatever comes a minute early is told with that minute.
        """
        arrived: list[Arrival] = []
        for moment in sorted({at for minute in minutes for at in (minute - 1, minute) if at >= 0}):
            self._run_at(NOON + timedelta(minutes=moment))
            arrived += [(int(moment), *each) for each in self._new_mail() + self._new_letters()]
        return arrived

    def _new_mail(self) -> list[tuple[str, str, str]]:
        mails = self._smtp.messages()[self._seen["email"] :]
        self._seen["email"] += len(mails)
        return [("email", str(mail["To"]), str(mail["Subject"])) for mail in mails]

    def _new_letters(self) -> list[tuple[str, str, str]]:
        names = list(reversed(captured_names()))[self._seen["letters"] :]
        self._seen["letters"] += len(names)
        kept = [mail for mail in map(read_captured, names) if mail is not None]
        return [(str(mail["X-Channel"]), str(mail["X-To"]), str(mail["Subject"])) for mail in kept]

    def letters(self) -> list[str]:
        """The texts of all SMS and push messages so far."""
        kept = [read_captured(name) for name in reversed(captured_names())]
        return [mail.get_content().strip() for mail in kept if mail is not None]

    def texts(self) -> list[str]:
        """The texts of all mail so far."""
        bodies = [mail.get_body(["plain"]) for mail in self._smtp.messages()]
        return [body.get_content() for body in bodies if body is not None]
