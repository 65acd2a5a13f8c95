"""Whether a record may enter again is chosen in words, and stays as it was chosen."""

from typing import Any

import pytest
from django.test import Client

from crm.models import Team
from pipelines.models import AutomaticPipeline
from tests.pipelines.admin.pages import form_of, text_of
from tests.pipelines.engine.building import active, email

PAGE = "/admin/pipelines/automaticpipeline/"


def chosen(manager: Client, policy: str, more: str = "") -> Any:
    """The page after choosing."""
    address = f"{PAGE}{AutomaticPipeline.objects.get().pk}/change/"
    values = form_of(manager.get(address), "automaticpipeline_form")
    return manager.post(address, {**values, "reentry_policy": policy, "reentry_more": more})


@pytest.mark.parametrize(
    ("policy", "more", "stored"),
    [
        ("while_active", "", None),
        ("once", "", "once"),
        ("always", "", "always"),
        ("restart", "", "restart"),
        ("after", "30d", {"after": 2_592_000}),
        ("key", "{{ contact.email }}", {"key": "{{ contact.email }}"}),
        ("key_for_ever", "{{ contact.email }}", {"key": "{{ contact.email }}", "release": "never"}),
    ],
)
def test_each_choice_is_stored_as_the_document_says_it_and_shown_again(
    manager: Client, team: Team, policy: str, more: str, stored: Any
) -> None:
    active(team, [email()])
    assert chosen(manager, policy, more).status_code == 302
    row = AutomaticPipeline.objects.get()
    assert row.reentry in ([None, "while_active"] if stored is None else [stored])
    shown = form_of(manager.get(f"{PAGE}{row.pk}/change/"), "automaticpipeline_form")
    assert (shown["reentry_policy"], shown["reentry_more"]) == (policy, more)


@pytest.mark.parametrize(
    ("policy", "more", "told"),
    [
        ("after", "", "Say how long"),
        ("after", "a while", "duration"),
        ("key", "", "Say which value"),
        ("key", "cart", "Say which value"),
        ("key", "{{ contact.", "{{"),
    ],
)
def test_a_choice_that_lacks_its_word_is_refused_with_a_sentence(
    manager: Client, team: Team, policy: str, more: str, told: str
) -> None:
    active(team, [email()])
    page = chosen(manager, policy, more)
    assert page.status_code == 200 and told in text_of(page)
    assert AutomaticPipeline.objects.get().reentry in (None, "while_active")
