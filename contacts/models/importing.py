"""Files that bring contacts: how each is read, how far it is, which rows were refused, and what was chosen before."""

import secrets
from typing import Any

from django.conf import settings
from django.db import models

from crm.models import TeamScoped, TeamScopedQuerySet

_WORKING = models.Q(state__in=["checking", "running"])


def new_salt() -> str:
    return secrets.token_hex(32)


class ContactImport(TeamScoped):
    """One file and what becomes of it; where it stands is written together with each batch of contacts."""

    class State(models.TextChoices):
        DRAFT = "draft", "Waits for you"
        CHECKING = "checking", "Being checked"
        CHECKED = "checked", "Ready to start"
        RUNNING = "running", "Under way"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"

    class Source(models.TextChoices):
        PAGE = "page", "Page"
        API = "api", "API"
        COMMAND = "command", "Command"

    class Existing(models.TextChoices):
        UPDATE = "update", "are filled in from the file"
        SKIP = "skip", "stay as they are"

    name = models.CharField(max_length=200)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.PAGE)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    # Where the file lies in the storage; empty for a file of the command, and when it was deleted.
    file = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    encoding = models.CharField(max_length=40, blank=True)
    delimiter = models.CharField(max_length=1, blank=True)
    header = models.JSONField(default=list)
    row_count = models.PositiveIntegerField(default=0)
    # The field that each column fills, in the order of the file; empty for a column that is not read.
    targets = models.JSONField(default=list)
    key = models.CharField(max_length=60, default="email")
    existing = models.CharField(max_length=10, choices=Existing.choices, default=Existing.UPDATE)
    enroll = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=0)
    # Where in the file the next row begins; empty at its beginning.
    place = models.JSONField(default=dict, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    # What the marks of its rows are keyed with, and the marks of people who were erased since it was brought.
    salt = models.CharField(max_length=64, default=new_salt, editable=False)
    erased = models.JSONField(default=list, blank=True, editable=False)
    # What the dry run found.
    trial = models.JSONField(default=dict, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    # Whoever works on it, until when nobody else does, and how often it stopped without getting further.
    claim = models.CharField(max_length=32, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    forgotten_at = models.DateTimeField(null=True, blank=True)

    objects = TeamScopedQuerySet["ContactImport"].as_manager()

    class Meta:
        verbose_name = "import"
        indexes = [
            models.Index(fields=["team", "-id"], name="import_recent"),
            models.Index(fields=["leased_until"], condition=_WORKING, name="import_due"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def numbers(self) -> dict[str, Any]:
        """What became of the rows: of the import itself, or before it of its dry run."""
        numbers: dict[str, Any] = self.counts or self.trial
        return numbers

    @property
    def percent(self) -> int:
        return min(100, self.position * 100 // self.row_count) if self.row_count else 100


class ImportProblem(models.Model):
    """A row that was not taken: the line it begins on, why, and its cells as they were."""

    team_lookup = "upload__team"

    upload = models.ForeignKey(ContactImport, on_delete=models.CASCADE, related_name="problems", db_index=False)
    line = models.PositiveIntegerField()
    reason = models.TextField()
    cells = models.JSONField(default=list)

    objects = TeamScopedQuerySet["ImportProblem"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "line"], name="import_problem_line")]

    def __str__(self) -> str:
        return f"Line {self.line}"


class ImportKey(models.Model):
    """What an import met in its file: the mark of a key or an address, and the line on which it came first."""

    team_lookup = "upload__team"

    pk = models.CompositePrimaryKey("upload_id", "mark")
    upload = models.ForeignKey(ContactImport, on_delete=models.CASCADE, related_name="+", db_index=False)
    mark = models.UUIDField()
    line = models.PositiveIntegerField()

    objects = TeamScopedQuerySet["ImportKey"].as_manager()

    def __str__(self) -> str:
        return f"Line {self.line}"


class ImportMapping(TeamScoped):
    """What a team chose for a set of headings, to be suggested when they come again."""

    headings = models.CharField(max_length=64)
    # The field by heading, without case and accents.
    targets = models.JSONField(default=dict)
    key = models.CharField(max_length=60, default="email")
    used_at = models.DateTimeField()

    objects = TeamScopedQuerySet["ImportMapping"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "headings"], name="import_mapping_once")]

    def __str__(self) -> str:
        return ", ".join(self.targets)
