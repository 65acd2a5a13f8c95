"""Pages of pipelines, runs and what the engine wrote down."""

from pipelines.admin import automatic, decisions, pipeline, runs, versions

__all__ = ["automatic", "decisions", "pipeline", "runs", "versions"]
