"""The page of a new record of one's own type."""

from typing import TYPE_CHECKING

import pytest

from contacts.models import Record, RecordType
from crm.models import Team

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
