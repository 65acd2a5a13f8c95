"""Pages of pipelines, runs and what the engine wrote down."""

from pipelines.admin import decisions, pipeline, runs, triggers, versions

__all__ = ["decisions", "pipeline", "runs", "triggers", "versions"]
