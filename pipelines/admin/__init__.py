"""Pages of pipelines, runs and what the engine wrote down."""

from pipelines.admin import (
    automatic,
    decisions,
    event_types,
    hooks,
    pipeline,
    runs,
    segments,
    sending,
    versions,
    webhooks,
)

__all__ = [
    "automatic",
    "decisions",
    "event_types",
    "hooks",
    "pipeline",
    "runs",
    "segments",
    "sending",
    "versions",
    "webhooks",
]
