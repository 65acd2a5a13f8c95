"""A team with people, and pipelines that ask them."""

from tests.pipelines.engine.conftest import run_at, smtp, team

__all__ = ["run_at", "smtp", "team"]
