"""The gallery in the admin and in the API: for whom, in which team, and what it leaves there."""

import pytest
from django.test import Client
from django.urls import reverse

from contacts.models import FieldDefinition, RecordType, Segment
from crm.models import AuditEntry, MessageTemplate, Team
from crm.teams import create_team
from pipelines.models import Pipeline
from pipelines.recipes.gallery import recipes
from tests.api import Api
from tests.pipelines.admin.conftest import SignIn
from tests.pipelines.admin.pages import PIPELINE, text_of

PAGE = f"{PIPELINE}recipes/"


def test_the_cards_say_and_show_what_each_recipe_does(manager: Client) -> None:
    answer = manager.get(PAGE)
    said, html = text_of(answer), answer.content.decode()
    for recipe in recipes().values():
        assert recipe.name in said and recipe.category in said and f'value="{recipe.key}"' in html
    assert html.count("<svg") >= len(recipes())
    assert reverse("admin:pipelines_pipeline_recipes_page") in manager.get(PIPELINE).content.decode()


@pytest.mark.parametrize("key", recipes())
def test_each_recipe_can_be_looked_at_closely(manager: Client, key: str) -> None:
    said = text_of(manager.get(PAGE, {"recipe": key}))
    assert recipes()[key].name in said and "What it promises" in said and "Use this recipe" in said


def test_the_timetable_stands_in_words(manager: Client) -> None:
    said = text_of(manager.get(PAGE, {"recipe": "nps_survey"}))
    assert "after 3 days “Ask” is sent." in said and "“Call the unhappy” does not come." in said
    assert "NPS question" in said and "Created with the recipe." in said


def test_using_a_recipe_leaves_a_draft_and_what_it_needs(manager: Client, team: Team) -> None:
    for _ in range(2):
        answer = manager.post(PAGE, {"recipe": "win_back_customers"}, follow=True)
        assert "a draft: change it as you like" in text_of(answer)
    made = Pipeline.objects.order_by("key")
    assert [(each.key, each.status) for each in made] == [("win_back_customers", 0), ("win_back_customers_2", 0)]
    assert Segment.objects.get(team=team).key == "dormant"
    assert MessageTemplate.objects.filter(team=team, key="come_back_offer").count() == 1
    entry = AuditEntry.objects.filter(action="pipeline.use_recipe").order_by("pk")[0]
    assert entry.actor is not None and entry.details["made"] == {
        "templates": ["come_back_offer"], "segments": ["dormant"],
    }  # fmt: skip


def test_whoever_uses_a_recipe_is_told_what_was_made(manager: Client) -> None:
    answer = manager.post(PAGE, {"recipe": "win_back_customers"}, follow=True)
    assert "Also created, for you to change: segments: Dormant." in text_of(answer)


def test_the_page_says_what_nobody_but_the_reader_can_do(manager: Client) -> None:
    said = text_of(manager.get(PAGE, {"recipe": "abandoned_cart_recovery"}))
    assert "What it needs from you" in said and "abandoned_cart , which begins it" in said
    assert "purchase_completed , which ends it" in said and "POST /api/v1/events/" in said
    used = manager.post(PAGE, {"recipe": "abandoned_cart_recovery"}, follow=True)
    assert "Before you activate it, read what it needs from you ." in text_of(used)


def test_fields_are_defined_by_an_admin_and_left_out_for_others(sign_in: SignIn, manager: Client, team: Team) -> None:
    said = text_of(manager.post(PAGE, {"recipe": "renewal_reminders"}, follow=True))
    assert "It works as it is; an admin of the team can define its fields: Renewal date, Renews automatically." in said
    assert Pipeline.objects.count() == 1 and not FieldDefinition.objects.exists()
    said = text_of(sign_in("admin").post(PAGE, {"recipe": "renewal_reminders"}, follow=True))
    assert "Also created, for you to change: fields: Renewal date, Renews automatically." in said
    assert set(FieldDefinition.objects.filter(team=team).values_list("key", "type")) == {
        ("renewal_date", "date"), ("renews_automatically", "boolean"),
    }  # fmt: skip


def test_words_the_team_has_changed_stay_as_they_are(manager: Client, team: Team) -> None:
    MessageTemplate.objects.create(team=team, key="missed_meeting", name="Ours", subject="Ours", text="Ours")
    manager.post(PAGE, {"recipe": "no_show_follow_up"})
    assert MessageTemplate.objects.get(team=team, key="missed_meeting").text == "Ours"
    assert Pipeline.objects.count() == 1


def test_leads_go_round_among_the_members(sign_in: SignIn, manager: Client) -> None:
    sign_in("member")
    sign_in("viewer")
    manager.post(PAGE, {"recipe": "lead_routing"})
    people = next(each for each in Pipeline.objects.get().variables if each["name"] == "people")
    assert people["default"] == ["member@acme.example"]


def test_types_of_records_are_made_for_an_admin_alone(sign_in: SignIn, manager: Client, team: Team) -> None:
    refused = text_of(manager.post(PAGE, {"recipe": "inventory_reorder_alerts"}, follow=True))
    assert "types of records: Product, Purchase order" in refused and "ask an admin" in refused
    assert not Pipeline.objects.exists() and not RecordType.objects.exists()
    sign_in("admin").post(PAGE, {"recipe": "inventory_reorder_alerts"})
    assert Pipeline.objects.get().key == "inventory_reorder_alerts"
    assert set(RecordType.objects.filter(team=team).values_list("key", flat=True)) == {"product", "purchase_order"}


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_who_may_not_add_pipelines_sees_no_gallery(sign_in: SignIn, role: str) -> None:
    client = sign_in(role)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"recipe": "nps_survey"}).status_code == 403
    assert not Pipeline.objects.exists()


def test_a_recipe_that_does_not_exist(manager: Client) -> None:
    assert manager.get(PAGE, {"recipe": "nothing"}).status_code == 404
    assert manager.post(PAGE, {"recipe": "nothing"}).status_code == 404


def test_the_api_lists_and_explains(team: Team) -> None:
    api = Api(team, role="viewer")
    listed = api.get("recipes/").json()["results"]
    assert [each["key"] for each in listed] == list(recipes())
    found = api.get("recipes/nps_survey/").json()
    assert found["document"]["key"] == "nps_survey" and "nps_question" in found["missing"]["templates"]
    assert {"when": "after 3 days", "sentence": "“Ask” is sent."} in found["timetable"][0]["lines"]
    assert api.get("recipes/nothing/").status_code == 404 and api.get("recipes/?colour=red").status_code == 400
    assert api.post("recipes/nps_survey/use/").status_code == 403


def test_the_api_makes_a_draft_in_the_team_of_the_key(team: Team) -> None:
    other = create_team(name="Other", slug="other")
    answer = Api(team, role="manager").post("recipes/nps_survey/use/", Idempotency_Key="once")
    again = Api(other, role="manager").post("recipes/nps_survey/use/")
    assert answer.status_code == again.status_code == 201
    body = answer.json()
    assert body["pipeline"]["key"] == "nps_survey" and body["pipeline"]["status"] == "draft"
    assert sorted(body["created"]["templates"]) == ["nps_passive", "nps_promoter", "nps_question", "nps_reminder"]
    assert Pipeline.objects.for_team(team).count() == Pipeline.objects.for_team(other).count() == 1
    assert MessageTemplate.objects.for_team(other).filter(key="nps_question").count() == 1


def test_a_key_creates_only_what_its_scopes_allow(team: Team) -> None:
    api = Api(team, role="owner", scopes=["pipelines:write"])
    answer = api.post("recipes/nps_survey/use/")
    assert answer.status_code == 409 and "message templates: NPS question" in answer.json()["detail"]
    assert not Pipeline.objects.exists()
    assert api.post("recipes/user_onboarding/use/").status_code == 409
    assert api.post("recipes/customer_retention/use/").status_code == 201
    assert api.post("recipes/customer_retention/use/", {"key": "mine"}).status_code == 400


def test_a_draft_from_a_recipe_can_be_activated_as_it_is(sign_in: SignIn, manager: Client) -> None:
    sign_in("member")
    manager.post(PAGE, {"recipe": "lead_routing"})
    pipeline = Pipeline.objects.get()
    manager.post(f"{PIPELINE}{pipeline.pk}/activate/", {})
    pipeline.refresh_from_db()
    assert pipeline.status == Pipeline.Status.ACTIVE and pipeline.current_version is not None
