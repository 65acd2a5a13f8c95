"""Pages of pipelines, runs and what the engine wrote down."""

from pipelines.admin import pipeline, triggers

__all__ = ["pipeline", "triggers"]
