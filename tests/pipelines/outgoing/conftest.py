"""The team, the clock and the sinks of the engine's tests."""

from tests.pipelines.engine.conftest import run_at, smtp, team, web

__all__ = ["run_at", "smtp", "team", "web"]
