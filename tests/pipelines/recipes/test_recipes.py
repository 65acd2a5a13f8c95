"""Every recipe becomes a draft without an error, leaves as it came, and does what it promises."""

import pytest
from pytest_django import Settings

from contacts.models import FieldDefinition
from crm.models import Team
from crm.permissions import allows
from pipelines.definition.document import dumps
from pipelines.definition.layout import every_place
from pipelines.operations import export_document, import_document, validate_document
from pipelines.recipes.gallery import recipes
from pipelines.recipes.listening import events_from_outside, say_event
from pipelines.recipes.using import use_recipe
from pipelines.simulation.expect import play_expectations

KEYS = tuple(recipes())
SOURCES = {
    "welcome_campaign", "abandoned_cart_recovery", "user_onboarding", "customer_retention", "lead_nurture_sequence",
    "opportunity_pipeline", "inventory_reorder_alerts",
}  # fmt: skip
BUILT_MOST = {
    "lead_routing", "no_show_follow_up", "win_back_customers", "renewal_reminders", "birthday_greetings", "nps_survey",
    "stalled_deal_alert", "event_reminder",
}  # fmt: skip


def owner(resource: str, verb: str) -> bool:
    return allows(role="owner", resource=resource, verb=verb)


@pytest.fixture
def team(db: None) -> Team:
    """A team that has nothing yet, not even the templates of a new team."""
    return Team.objects.create(name="Acme", slug="acme")


def test_the_gallery_has_the_pipelines_of_the_sources_and_those_that_are_built_most() -> None:
    assert set(KEYS) >= SOURCES | BUILT_MOST


@pytest.mark.parametrize("key", KEYS)
def test_a_recipe_is_imported_without_an_error_and_leaves_byte_for_byte(team: Team, key: str) -> None:
    recipe = recipes()[key]
    used = use_recipe(recipe=recipe, team=team, may=owner).pipeline
    assert used.key == key and used.current_version is None
    used.delete()
    assert not [each for each in validate_document(recipe.document, team) if each.severity == "error"]
    pipeline = import_document(team=team, document=recipe.document)
    assert export_document(pipeline=pipeline) == recipe.text == dumps(recipe.document)


@pytest.mark.parametrize("key", KEYS)
def test_a_recipe_that_waits_for_clicks_counts_them(team: Team, key: str, settings: Settings) -> None:
    settings.MAIL_PROVIDERS = []
    use_recipe(recipe=recipes()[key], team=team, may=owner)
    found = validate_document(recipes()[key].document, team)
    assert not [each for each in found if "tells of" in each.message]


@pytest.mark.parametrize("key", KEYS)
def test_nothing_is_warned_about_that_the_recipe_could_have_brought_along(team: Team, key: str) -> None:
    for model in ("contacts.contact", "contacts.deal"):
        FieldDefinition.objects.create(team=team, model=model, key="plan", label="Plan")
    use_recipe(recipe=recipes()[key], team=team, may=owner)
    assert [each.message for each in validate_document(recipes()[key].document, team)] == []


@pytest.mark.parametrize("key", KEYS)
def test_a_recipe_names_its_steps_and_the_events_that_others_must_tell(key: str) -> None:
    recipe = recipes()[key]
    assert [place.key for place in every_place(recipe.document) if not place.step.get("name")] == []
    assert set(recipe.needs.events) == events_from_outside(recipe.document)
    assert all(say_event(recipe.document, name) for name in recipe.needs.events)


@pytest.mark.parametrize("key", KEYS)
def test_a_recipe_does_what_it_promises(team: Team, key: str) -> None:
    recipe = recipes()[key]
    use_recipe(recipe=recipe, team=team, may=owner)
    stories = play_expectations(team=team, document=recipe.document)
    assert len(stories) >= 2
    broken = [(story.name, check.sentence) for story in stories for check in story.checks if not check.met]
    assert not broken
    assert all(story.checks for story in stories)
    assert not [warning for story in stories for warning in story.report["warnings"] if "ran out of time" in warning]
