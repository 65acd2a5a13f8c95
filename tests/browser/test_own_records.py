"""The page of a new record of one's own type."""

import json
from typing import TYPE_CHECKING

import pytest

from contacts.models import Record, RecordType
from crm.models import Member, Team

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_what_was_typed_comes_along_when_another_type_is_chosen(page: "Page", team: Team) -> None:
    name = {"key": "name", "label": "Name", "type": "text"}
    for key, more in (("product", "size"), ("room", "floor")):
        fields = [name, {"key": more, "label": more.title(), "type": "text"}]
        RecordType.objects.create(team=team, key=key, label=key.title(), fields=fields)
    product, room = (str(RecordType.objects.get(key=key).pk) for key in ("product", "room"))
    page.goto(f"/admin/contacts/record/add/?type={product}")
    page.fill("[name=own_name]", "Blue")
    page.fill("[name=own_size]", "XL")
    for chosen in (room, product):
        with page.expect_navigation():
            # As the admin's own box of choices does it.
            page.evaluate(
                "(chosen) => { const type = document.querySelector('#record_form select[name=type]');"
                " if (![...type.options].some((each) => each.value === chosen)) type.add(new Option('x', chosen));"
                " type.value = chosen; type.dispatchEvent(new Event('change')); }",
                chosen,
            )
        assert page.locator("[name=own_name]").input_value() == "Blue"
    assert page.locator("[name=own_size]").input_value() == "XL"
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/contacts/record/")
    assert Record.objects.get().values == {"name": "Blue", "size": "XL"}


def test_a_type_gets_its_fields_in_a_table_by_mouse_and_keys(page: "Page", team: Team) -> None:
    Member.objects.update(role="admin")
    page.goto("/admin/contacts/recordtype/add/")
    page.fill("[name=label]", "Product")
    page.fill("[name=key]", "product")
    rows = page.locator("[data-row]")
    for label, kind in (("Name", "text"), ("Größe (cm)", "select"), ("Gone again", "date")):
        page.get_by_role("button", name="Add a field").click()
        page.keyboard.type(label)
        rows.last.get_by_label("Type").select_option(kind)
    rows.nth(1).get_by_label("Options").fill("s\nm")
    rows.nth(2).get_by_role("button", name="Remove: Gone again").press("Enter")
    rows.nth(1).locator("[data-part=label]").press("Alt+ArrowUp")
    assert page.locator("[data-told]").inner_text() == "Größe (cm) is 1 of 2."
    assert page.evaluate("document.activeElement.value") == "Größe (cm)"
    page.get_by_text("As JSON", exact=True).click()
    box = page.get_by_label("Fields as JSON")
    told = json.loads(box.input_value())
    assert [field["key"] for field in told] == ["grosse_cm", "name"]
    box.fill(json.dumps([*told, {"key": "price", "type": "number"}])[:-1])
    box.blur()
    assert page.get_by_text("This is not JSON").is_visible() and rows.count() == 2
    box.fill(json.dumps([*told, {"key": "price", "type": "number"}]))
    box.blur()
    assert rows.count() == 3
    rows.nth(2).get_by_label("Required").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/contacts/recordtype/")
    assert RecordType.objects.get().fields == [
        {"key": "grosse_cm", "label": "Größe (cm)", "type": "select", "options": ["s", "m"]},
        {"key": "name", "label": "Name", "type": "text"},
        {"key": "price", "type": "number", "required": True},
    ]
