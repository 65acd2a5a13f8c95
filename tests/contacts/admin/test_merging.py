"""Finding contacts that are one person, and making one of them."""

from typing import Any

import pytest

from contacts.models import Contact, Deal
from crm.models import AuditEntry, Message, Task, Team
from pipelines.models import PipelineRun
from tests.contacts.conftest import SignIn
from tests.pipelines.engine.building import NOON, active

DUPLICATES = "/admin/contacts/contact/duplicates/"
MERGE = "/admin/contacts/contact/merge/"


@pytest.fixture
def pair(team: Team) -> tuple[Contact, Contact]:
    """Two contacts with one address, of which the second holds everything."""
    active(team, [{"type": "wait", "delay": "1d"}], key="welcome")
    keep = Contact.objects.create(team=team, first_name="Ann", email="same@example.org", custom={"plan": "pro"})
    other = Contact.objects.create(team=team, first_name="Anna", email="Same@example.org", phone="+49 30 1")
    Task.objects.create(team=team, title="Call", subject=other)
    Message.objects.create(team=team, recipient="same@example.org", subject="Hi", about=other, created_at=NOON)
    Deal.objects.create(team=team, title="Big one", contact=other)
    return keep, other


def test_the_merge_page_says_what_will_be_and_changes_nothing(sign_in: SignIn, pair: tuple[Contact, Contact]) -> None:
    keep, other = pair
    client = sign_in()
    assert "same@example.org" in client.get(DUPLICATES).content.decode()
    page = client.get(MERGE, {"id": [keep.pk, other.pk]})
    assert page.context["keep"] == keep
    rows = {row["label"]: (row["value"], row["taken"], row["lost"]) for row in page.context["rows"]}
    assert rows["First name"] == ("Ann", "", "Anna")
    assert rows["Phone"] == ("+49 30 1", f"from number {other.pk}", "")
    assert dict(page.context["moves"]) == {"Runs": 1, "Deals": 1, "Messages": 1, "Tasks": 1, "Notes": 0}
    turned = client.get(MERGE, {"id": [keep.pk, other.pk], "keep": [other.pk]})
    assert turned.context["keep"] == other
    assert Contact.objects.count() == 2


def test_merging_moves_everything_and_shows_the_one_that_stays(sign_in: SignIn, pair: tuple[Contact, Contact]) -> None:
    keep, other = pair
    answer = sign_in().post(MERGE, {"id": [keep.pk, other.pk], "keep": keep.pk, "merge": "1"}, follow=True)
    page = answer.content.decode()
    assert answer.redirect_chain[-1][0] == f"/admin/contacts/contact/{keep.pk}/change/"
    for word in ("Big one", "Call", "Hi", "Merged Anna", "2 contacts are one now"):
        assert word in page
    merged = Contact.objects.get()
    assert (merged.pk, merged.first_name, merged.phone, merged.custom) == (keep.pk, "Ann", "+49 30 1", {"plan": "pro"})
    assert set(PipelineRun.objects.values_list("subject_id", flat=True)) == {keep.pk}
    assert AuditEntry.objects.get(action="contacts.merged").details["others"] == [other.pk]


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_merging_is_for_leaders(sign_in: SignIn, pair: tuple[Contact, Contact], role: str) -> None:
    client, ids = sign_in(role), [contact.pk for contact in pair]
    assert client.get(MERGE, {"id": ids}).status_code == 403
    assert client.post(MERGE, {"id": ids, "merge": "1"}).status_code == 403
    assert client.get(DUPLICATES).status_code in (302, 403)
    assert Contact.objects.count() == 2


def test_a_contact_of_another_team_is_not_merged(sign_in: SignIn, pair: tuple[Contact, Contact]) -> None:
    theirs = Contact.objects.create(team=Team.objects.create(name="B", slug="b"), email="same@example.org", phone="666")
    client = sign_in()
    ids = [pair[0].pk, theirs.pk]
    assert client.get(MERGE, {"id": ids})["Location"] == DUPLICATES
    client.post(MERGE, {"id": ids, "keep": theirs.pk, "merge": "1"})
    assert Contact.objects.count() == 3
    assert "666" not in client.get(DUPLICATES).content.decode()


@pytest.mark.parametrize("ids", [[], ["1"], ["x", "y"], ["9" * 30, "1"]])
def test_nonsense_leads_back_to_the_duplicates(sign_in: SignIn, team: Team, ids: Any) -> None:
    client = sign_in()
    assert client.get(MERGE, {"id": ids})["Location"] == DUPLICATES
    assert client.post(MERGE, {"id": ids, "merge": "1"})["Location"] == DUPLICATES
