"""Pages open in a real browser without a complaint of it, such as about the content security policy."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from contacts.models import Contact
from crm.models import Team
from pipelines.operations import update_document
from tests.browser.conftest import PASSWORD
from tests.pipelines.engine.building import active, document, email

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]


def test_one_signs_in_with_the_keyboard(stranger: "Page", manager: User) -> None:
    stranger.goto("/admin/")
    stranger.fill("#id_username", manager.username)
    stranger.fill("#id_password", PASSWORD)
    stranger.press("#id_password", "Enter")
    stranger.locator(".pl-dashboard").wait_for()


def test_the_description_of_the_api_is_drawn(page: "Page") -> None:
    page.goto("/api/v1/docs/")
    # What lies below the window is drawn when one scrolls there.
    page.get_by_text("/api/v1/activities/", exact=True).first.wait_for()


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/contacts/contact/",
        "/admin/contacts/contact/import/",
        "/admin/pipelines/pipelinerun/",
        "/admin/crm/task/",
    ],
)
def test_a_page_opens_quietly(page: "Page", team: Team, path: str) -> None:
    active(team, [email(delay=60)])
    Contact.objects.create(team=team, first_name="Ann", email="ann@example.org")
    answer = page.goto(path)
    assert answer is not None and answer.status == 200
    page.wait_for_load_state("networkidle")


def test_the_way_back_to_a_version_is_seen_on_a_laptop_without_scrolling(
    page: "Page", team: Team, manager: User
) -> None:
    manager.email = "maya.of-the-house@department.example"
    manager.save()
    pipeline = active(team, [email(delay=60)])
    for seconds in (120, 180):
        update_document(pipeline=pipeline, document=document([email(delay=seconds)]), by=manager)
        pipeline.refresh_from_db()
    page.goto(f"/admin/pipelines/pipeline/{pipeline.pk}/versions/")
    box = page.get_by_role("link", name="Go back to this").last.bounding_box()
    assert box and box["x"] + box["width"] <= 1280
    assert page.locator(".pl-scroll").evaluate("box => box.scrollWidth - box.clientWidth") <= 0
