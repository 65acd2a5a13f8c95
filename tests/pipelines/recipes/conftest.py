"""People and keys of a team, as the pages and the API know them."""

from tests.pipelines.admin.conftest import manager, sign_in, team, viewer

__all__ = ["manager", "sign_in", "team", "viewer"]
