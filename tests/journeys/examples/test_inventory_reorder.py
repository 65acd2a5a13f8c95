"""Inventory: code finds what is below its minimum, purchasing is told, and each such product gets one order.

It is started by hand, which the document allows, and by itself in the morning of every working day.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from crm.models import Notification
from pipelines.sandbox import running
from tests.journeys.examples.stage import HOUR, Stage

STOCK = [("Tea", 3, 10, True), ("Cup", 10, 10, True), ("Pot", 0, 4, True), ("Old pot", 0, 4, False)]


@pytest.fixture(autouse=True)
def code_runs(settings: Settings) -> Iterator[None]:
    settings.PIPELINES_CODE_STEPS = True
    yield
    running.close()


def define(stage: Stage) -> None:
    numbers = [{"key": name, "label": name, "type": "integer"} for name in ("quantity", "minimum")]
    name = {"key": "name", "label": "Name", "type": "text", "required": True}
    active = {"key": "active", "label": "Active", "type": "boolean"}
    stage.made("record-types", {"key": "product", "label": "Product", "fields": [name, *numbers, active]})
    order = [{"key": key, "label": key, "type": "integer", "required": True} for key in ("product", "quantity")]
    stage.made("record-types", {"key": "purchase_order", "label": "Purchase order", "fields": order})


@pytest.fixture
def products(stage: Stage) -> dict[str, int]:
    """Ids by name of what is in stock."""
    define(stage)
    # The morning of this day is over when the document arrives.
    stage.walk(0)
    stage.member("pia", groups=["purchasing"])
    stage.loaded("inventory_reorder")
    found = {}
    for name, quantity, minimum, active in STOCK:
        values = {"name": name, "quantity": quantity, "minimum": minimum, "active": active}
        found[name] = stage.made("records/product", {"values": values})
    return found


def orders(stage: Stage) -> list[dict[str, Any]]:
    rows = stage.api.get("records/purchase_order/").json()["results"]
    return sorted((row["values"] for row in rows), key=lambda values: int(values["product"]))


def notes() -> list[str]:
    return list(Notification.objects.filter(user__username="pia").order_by("pk").values_list("title", flat=True))


def test_a_new_team_is_told_which_types_it_lacks(stage: Stage) -> None:
    missing = stage.missing("inventory_reorder")
    sentence = "there is no type of record '{}' in Acme: define it first"
    assert missing["steps[0].with.model"] == sentence.format("records.product")
    assert sentence.format("records.purchase_order") in missing.values()


def test_each_product_below_its_minimum_gets_one_order(stage: Stage, products: dict[str, int]) -> None:
    run = stage.trigger("inventory_reorder_alerts", None)
    stage.walk(0)
    assert stage.outcome(run) == ("completed", "end")
    assert orders(stage) == [
        {"product": products["Tea"], "quantity": 17}, {"product": products["Pot"], "quantity": 8},
    ]  # fmt: skip
    assert notes() == ["2 products are below minimum", "2 purchase orders created"]


def test_every_working_day_begins_with_it(stage: Stage, products: dict[str, int]) -> None:
    stage.walk(0)
    assert orders(stage) == []
    tomorrow_at_six = 17 * HOUR
    stage.walk(tomorrow_at_six)
    assert [order["product"] for order in orders(stage)] == [products["Tea"], products["Pot"]]
    stage.walk(tomorrow_at_six + HOUR, tomorrow_at_six + 2 * HOUR)
    assert len(orders(stage)) == 2


def test_a_factor_given_by_hand_orders_earlier(stage: Stage, products: dict[str, int]) -> None:
    stage.trigger("inventory_reorder_alerts", None, variables={"minimum_factor": 1.5})
    stage.walk(0)
    assert [order["product"] for order in orders(stage)] == [products[name] for name in ("Tea", "Cup", "Pot")]
    assert notes()[0] == "3 products are below minimum"


def test_with_enough_of_everything_nothing_is_ordered(stage: Stage, products: dict[str, int]) -> None:
    for name in ("Tea", "Pot"):
        stage.api.patch(f"records/product/{products[name]}/", {"values": {"quantity": 50}})
    run = stage.trigger("inventory_reorder_alerts", None)
    stage.walk(0)
    assert stage.outcome(run) == ("completed", "end")
    assert orders(stage) == [] and notes() == ["0 products are below minimum", "0 purchase orders created"]


def test_where_code_is_switched_off_the_document_is_refused_with_its_step(stage: Stage, settings: Settings) -> None:
    define(stage)
    settings.PIPELINES_CODE_STEPS = False
    assert list(stage.missing("inventory_reorder")) == ["steps[1].type"]
