"""Addresses at which the API has nothing are told as everything else that is wrong."""

import pytest
from django.test import Client
from pytest_django import Settings

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/api/", "/api/v1/nothing/", "/api/v1/nothing", "/api/v9/contacts/"])
def test_an_unknown_address_is_a_problem_whatever_the_settings_say(settings: Settings, debug: bool, path: str) -> None:
    settings.DEBUG = debug
    for ask in (Client().get, Client().post):
        answer = ask(path)
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
        assert answer.json()["detail"] == "There is nothing at this address."


def test_a_missing_slash_is_said(settings: Settings) -> None:
    settings.DEBUG = True
    read = Client().get("/api/v1/contacts?limit=3")
    assert (read.status_code, read["Location"]) == (301, "/api/v1/contacts/?limit=3")
    sent = Client().post("/api/v1/contacts", {})
    assert sent.status_code == 404 and "it is /api/v1/contacts/." in sent.json()["detail"]
