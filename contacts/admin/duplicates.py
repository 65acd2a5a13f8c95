"""Contacts that share an address, and making one of them."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from contacts import operations, queries
from contacts.merging import MAX_OTHERS, Choice, moves, plan
from contacts.models import Contact
from crm.auditing import audit_request


def duplicates_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """Groups of contacts with one address; each leads to the merge page."""
    after = request.GET.get("after", "0")
    page = queries.duplicates(
        team=getattr(request, "team", None), after=int(after) if after.isdigit() and len(after) < 18 else 0, limit=20
    )
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Duplicates by email",
        "groups": page.groups,
        "next": page.next,
    }
    return TemplateResponse(request, "admin/contacts/duplicates.html", context)


def merge_view(request: HttpRequest, *, model_admin: Any) -> HttpResponse:
    """GET shows who stays and what the contact will be; POST merges."""
    if not model_admin.has_merge_permission(request):
        raise PermissionDenied
    asked = request.POST if request.method == "POST" else request.GET
    ids = [int(text) for text in asked.getlist("id") if text.isdigit() and len(text) < 18][: MAX_OTHERS + 1]
    found = model_admin.get_queryset(request).filter(pk__in=ids).select_related("company", "owner").order_by("pk")
    contacts: list[Contact] = list(found)
    if len(contacts) < 2 or len({contact.team_id for contact in contacts}) != 1:
        messages.error(request, "Choose at least two contacts of one team.")
        return HttpResponseRedirect(reverse("admin:contacts_contact_duplicates_page"))
    keep = next((contact for contact in contacts if str(contact.pk) == asked.get("keep")), contacts[0])
    others = [contact for contact in contacts if contact.pk != keep.pk]
    if request.method == "POST" and "merge" in request.POST:
        return _merge(request, keep, others)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "Merge contacts",
        "contacts": contacts,
        "keep": keep,
        "rows": [_row(choice, keep) for choice in plan(keep=keep, others=others) if choice.value or choice.lost],
        "moves": moves(others=others),
    }
    return TemplateResponse(request, "admin/contacts/merge.html", context)


def _row(choice: Choice, keep: Contact) -> dict[str, str]:
    """One line of what the contact will be: the value, whose it is, and what is only noted down."""
    field: Any = Contact._meta.get_field(choice.field)
    taken = "" if choice.source == keep else f"from number {choice.source.pk}"
    return {
        "label": str(field.verbose_name).capitalize(),
        "value": str(choice.value),
        "taken": taken,
        "lost": ", ".join(str(value) for value in choice.lost),
    }


def _merge(request: HttpRequest, keep: Contact, others: list[Contact]) -> HttpResponse:
    user: Any = request.user
    ids = [other.pk for other in others]
    try:
        kept = operations.merge_contacts(keep=keep, others=others, by=user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(reverse("admin:contacts_contact_duplicates_page"))
    audit_request(request=request, action="contacts.merged", target=kept, team=kept.team, others=ids)
    messages.success(request, f"{len(ids) + 1} contacts are one now. Runs, messages, tasks and notes came along.")
    return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=(kept.pk,)))
