"""What people and programs do to pipelines: each one transaction, audited, with its actor."""

from pipelines.operations.backfilling import backfill, preview_backfill
from pipelines.operations.checking import validate_document
from pipelines.operations.circuits import let_step_fail, try_step_again
from pipelines.operations.existing import enroll_existing, preview_existing
from pipelines.operations.lifecycle import activate, archive, delete_pipeline, pause, resume
from pipelines.operations.previewing import Preview, preview
from pipelines.operations.pruning import prune
from pipelines.operations.publishing import publish
from pipelines.operations.refusals import InvalidDocument, PipelineChanged, PipelineExists, Refused
from pipelines.operations.rolling_back import roll_back
from pipelines.operations.transfer import (
    duplicate,
    export_document,
    import_document,
    update_document,
)
from pipelines.operations.triggers import set_trigger_enabled
from pipelines.operations.winning import choose_winner, reopen_test

__all__ = [
    "InvalidDocument",
    "PipelineChanged",
    "PipelineExists",
    "Preview",
    "Refused",
    "activate",
    "archive",
    "backfill",
    "choose_winner",
    "delete_pipeline",
    "duplicate",
    "enroll_existing",
    "export_document",
    "import_document",
    "let_step_fail",
    "pause",
    "preview",
    "preview_backfill",
    "preview_existing",
    "prune",
    "publish",
    "reopen_test",
    "resume",
    "roll_back",
    "set_trigger_enabled",
    "try_step_again",
    "update_document",
    "validate_document",
]
