"""Erasing a contact after a question that says what goes and what stays."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from contacts.erasing import erase_contact


def erase_view(request: HttpRequest, object_id: str, *, model_admin: Any) -> HttpResponse:
    """GET asks; POST erases when the word was typed."""
    contact = model_admin.get_object(request, object_id)
    if contact is None:
        raise Http404
    missed = request.method == "POST" and request.POST.get("word", "").strip().lower() != "erase"
    if request.method == "POST" and not missed:
        erased = erase_contact(contact=contact, by=request.user)  # type: ignore[arg-type]
        messages.success(request, f"The contact is erased, and with it {_in_words(erased.counts)}.")
        if erased.namesakes:
            numbers = ", ".join(map(str, erased.namesakes))
            messages.warning(request, f"Other contacts have the same address and are still there: number {numbers}.")
        return HttpResponseRedirect(reverse("admin:contacts_contact_changelist"))
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Erase {contact}",
        "contact": contact,
        "missed": missed,
    }
    return TemplateResponse(request, "admin/contacts/erase.html", context, status=422 if missed else 200)


def _in_words(counts: dict[str, int]) -> str:
    found = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join(found) or "nothing else"
