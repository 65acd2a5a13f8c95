"""Pages on a large installation: 100,000 contacts, 1,000,000 runs and their log; statements, time, and scans."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import override_settings

from bench.scene import LINE, add_pipeline, new_team
from contacts.models import Contact
from crm.keys import create_key
from crm.models import Member, Role, Team
from pipelines.models import Pipeline, PipelineRun

CONTACTS = 100_000
RUNS_EACH = 10
# What reads more rows than this is named.
FEW = 1_000
CALLS = 3
# A statement that takes longer, in milliseconds, is shown.
SLOW = 50.0

PEOPLE = """
INSERT INTO contacts_contact (team_id, first_name, last_name, email, phone, job_title, lifecycle_stage, lead_source,
       timezone, language, custom, created_at, updated_at)
SELECT %s, 'First' || n, 'Last' || n %% 1000, 'c' || n || '@x.example', '', '', 'lead', '', '', '', '{}', now(), now()
  FROM generate_series(1, %s) n
"""
RUNS = """
INSERT INTO pipelines_pipelinerun (pipeline_id, version_id, subject_type_id, subject_id, status, step_id, last_step_id,
       next_step_at, finished_at, outcome, phase, attempt, seq, open_children, wake_at, parent_seq, slot, created_at)
SELECT p.id, p.current_version_id, p.subject_type_id, c.id,
       CASE c.id %% 4 WHEN 0 THEN 0 WHEN 1 THEN 5 ELSE 4 END, s.id, s.id,
       CASE WHEN c.id %% 4 = 0 THEN now() + c.id %% 500000 * interval '1 second' END,
       CASE WHEN c.id %% 4 > 0 THEN now() - c.id %% 500000 * interval '1 second' END,
       CASE WHEN c.id %% 4 > 0 THEN 'next' END, 0, 0, 1, 0, 0, 0, 0, now() - c.id %% 500000 * interval '2 seconds'
  FROM contacts_contact c CROSS JOIN pipelines_pipeline p
  JOIN pipelines_pipelinestep s ON s.pipeline_id = p.id AND s.number = 1
 WHERE c.team_id = %s AND p.team_id = %s
"""
LOG = """
INSERT INTO pipelines_stepexecution (at, run_id, step_id, seq, attempt, event, outcome, started_at, finished_at, batch)
SELECT now(), r.id, r.last_step_id, 1, 0, 0, 'next', now(), now(), gen_random_uuid()
  FROM pipelines_pipelinerun r JOIN pipelines_pipeline p ON p.id = r.pipeline_id WHERE p.team_id = %s
"""


def measure_scale() -> str:
    team = new_team()
    for number in range(RUNS_EACH):
        add_pipeline(team, key=f"p{number}", steps=LINE)
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, [team.pk, CONTACTS])
        cursor.execute(RUNS, [team.pk, team.pk])
        cursor.execute(LOG, [team.pk])
        # What autovacuum does after so many new rows.
        cursor.execute("VACUUM ANALYZE")
    rows = [_row(*page) for page in _pages(team)]
    head = ["| page | statements | time | slowest statement | most rows read by one |", "|---|---:|---:|---:|---|"]
    title = f"## Pages with {CONTACTS:,} contacts and {CONTACTS * RUNS_EACH:,} runs"
    return "\n".join([title, "", *head, *rows, ""])


def _pages(team: Team) -> Sequence[tuple[str, Client, str]]:
    # Nobody has collected static files for a benchmark.
    plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    override_settings(ALLOWED_HOSTS=["*"], STORAGES={**settings.STORAGES, **plain}).enable()
    user = User.objects.create_user("bench", "bench@x.example", is_staff=True)
    Member.objects.create(team=team, user=user, role=Role.OWNER)
    admin, api = (
        Client(),
        Client(headers={"authorization": f"Bearer {create_key(team=team, name='bench', role=Role.ADMIN)[1]}"}),
    )
    admin.force_login(user)
    contact = Contact.objects.for_team(team).order_by("pk")[CONTACTS // 2]
    pipeline = Pipeline.objects.for_team(team).order_by("pk")[0]
    run = PipelineRun.objects.filter(pipeline=pipeline).order_by("-pk")[0]
    runs, contacts = "/admin/pipelines/pipelinerun/", "/admin/contacts/contact/"
    return [
        ("dashboard", admin, "/admin/"),
        ("contacts", admin, contacts),
        ("contacts, searched", admin, f"{contacts}?q=Last77"),
        ("a contact", admin, f"{contacts}{contact.pk}/change/"),
        ("runs", admin, runs),
        ("runs of a pipeline", admin, f"{runs}?pipeline={pipeline.pk}"),
        ("a run", admin, f"{runs}{run.pk}/change/"),
        ("pipelines", admin, "/admin/pipelines/pipeline/"),
        ("a pipeline", admin, f"/admin/pipelines/pipeline/{pipeline.pk}/change/"),
        ("decisions", admin, "/admin/pipelines/enrollmentdecision/"),
        ("tasks", admin, "/admin/crm/task/"),
        ("messages", admin, "/admin/crm/message/"),
        ("API contacts", api, "/api/v1/contacts/"),
        ("API contacts, searched", api, "/api/v1/contacts/?search=Last77"),
        ("API runs", api, "/api/v1/pipeline-runs/"),
        ("API runs, failed", api, "/api/v1/pipeline-runs/?status=failed"),
        ("API runs of a contact", api, f"/api/v1/pipeline-runs/?contact={contact.pk}"),
        ("API a run", api, f"/api/v1/pipeline-runs/{run.pk}/"),
        ("API logs", api, "/api/v1/logs/"),
        ("API status", api, "/api/v1/status/"),
    ]


def _row(name: str, client: Client, path: str) -> str:
    taken: list[float] = []
    statements: Recorded = []
    for _ in range(CALLS):
        with _recorded() as found:
            started = time.perf_counter()
            answer = client.get(path)
            taken.append((time.perf_counter() - started) * 1_000)
        assert answer.status_code == 200, (path, answer.status_code, answer.content[:300])
        statements = found
    slowest = max(statements, key=lambda each: each[0])
    most, where = max((each for _, sql, parameters in statements for each in _read(sql, parameters)), default=(0, ""))
    if slowest[0] > SLOW:
        print(f"{name}: {slowest[0]:.0f} ms for {slowest[1]}", file=sys.stderr)
    read = f"{most:,} ({where})" if most > FEW else f"{most:,}"
    return f"| {name} | {len(statements)} | {median(taken):.0f} ms | {slowest[0]:.0f} ms | {read} |"


Recorded = list[tuple[float, str, Any]]


@contextmanager
def _recorded() -> Any:
    """Each statement with its milliseconds."""
    found: Recorded = []

    def record(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, parameters, many, context)
        finally:
            found.append(((time.perf_counter() - started) * 1_000, sql, parameters))

    with connection.execute_wrapper(record):
        yield found


def _read(sql: str, parameters: Any) -> list[tuple[int, str]]:
    """How many rows a statement really reads of each table or index, from the plan of a second run."""
    if not sql.lstrip().upper().startswith(("SELECT", "WITH")):
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", parameters)
        (answer,) = cursor.fetchone()
    plan = json.loads(answer) if isinstance(answer, str) else answer
    return [_scan(node) for node in _nodes(plan[0]["Plan"]) if "Scan" in node["Node Type"]]


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(found for child in node.get("Plans", []) for found in _nodes(child))]


def _scan(node: dict[str, Any]) -> tuple[int, str]:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    rows = round((node["Actual Rows"] + removed) * node["Actual Loops"])
    name = node.get("Index Name") or node.get("Relation Name") or node["Node Type"]
    return rows, f"{name}, {node['Node Type'].lower()}"
