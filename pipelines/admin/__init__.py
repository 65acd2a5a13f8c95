"""Pages of pipelines, runs and what the engine wrote down."""

from pipelines.admin import automatic, decisions, hooks, pipeline, runs, versions

__all__ = ["automatic", "decisions", "hooks", "pipeline", "runs", "versions"]
