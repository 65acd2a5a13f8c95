"""A client that speaks to the API with a key."""

from typing import Any

from django.test import Client

from crm.keys import create_key
from crm.models import Team


class Api:
    """JSON in, JSON out; paths below `/api/v1/`."""

    def __init__(self, team: Team, *, role: str = "admin", **more: Any) -> None:
        self.team = team
        _, self.token = create_key(team=team, name="test", role=role, **more)
        self._client = Client(headers={"Authorization": f"Bearer {self.token}"})

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(f"/api/v1/{path}", query)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"/api/v1/{path}"
        return self._client.post(address, {} if body is None else body, content_type="application/json", headers=names)

    def put(self, path: str, body: Any) -> Any:
        return self._client.put(f"/api/v1/{path}", body, content_type="application/json")

    def patch(self, path: str, body: Any) -> Any:
        return self._client.patch(f"/api/v1/{path}", body, content_type="application/json")

    def delete(self, path: str) -> Any:
        return self._client.delete(f"/api/v1/{path}")
