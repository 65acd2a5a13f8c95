"""Pages over tables that are too large to count on every click."""

import ast
import json
from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import connections

COUNTED = 10_000


class EstimatedPaginator(Paginator[Any]):
    """Counts up to ten thousand rows exactly and takes the planner's word beyond."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted = int(rows.order_by()[: COUNTED + 1].count())
        if counted <= COUNTED:
            return counted
        if connections[rows.db].vendor != "postgresql":
            return counted
        plan = rows.order_by().explain(format="json")
        return max(counted, _planned_rows(plan))


def _planned_rows(plan: str) -> int:
    try:
        parsed = json.loads(plan)
    except ValueError:
        # psycopg has decoded the JSON already and Django printed the list.
        parsed = ast.literal_eval(plan)
    return int(parsed[0]["Plan"]["Plan Rows"])
