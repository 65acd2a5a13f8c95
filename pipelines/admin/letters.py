"""The page that shows a message template as one contact would get it, and sends it to whoever looks at it."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from contacts.models import Contact
from contacts.queries import search
from crm.asking_links import ask_links
from crm.auditing import audit_request
from crm.models import MessageTemplate
from pipelines.admin.simulating import keep_html
from pipelines.engine.clock import engine_now
from pipelines.operations.letters import NotSent, preview_template, send_test

FOUND = 8


@require_http_methods(["GET", "HEAD", "POST"])
def template_preview(request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows it for `contact` (a number) or for who `q` finds; POST sends a test to oneself, or asks its links."""
    site: Any = admin.site
    page = site.get_model_admin(MessageTemplate)
    template = page.get_object(request, str(pk))
    if template is None or not page.has_view_permission(request, template):
        raise Http404
    contact, several = _contact(request, template)
    if request.method == "POST":
        if not page.has_change_permission(request, template):
            raise PermissionDenied
        if "links" not in request.POST:
            _send(request, template, contact)
            return HttpResponseRedirect(request.get_full_path())
    shown = preview_template(template=template, contact=contact, now=engine_now(), to=contact.email if contact else "")
    asks = request.method == "POST"
    if asks:
        audit_request(request=request, action="templates.links_asked", target=template, team=template.team)
    context = {
        **site.each_context(request),
        "title": "Preview",
        "opts": template._meta,
        "object": template,
        "template": template,
        "contact": contact,
        "several": several,
        "asked": request.GET.get("q", "")[:100],
        "shown": shown,
        "asks": asks,
        "asked_links": ask_links(text=shown.text, html=shown.html) if asks else [],
        "frame": keep_html(request, shown.html) if shown.html else "",
        "may_send": page.has_change_permission(request, template),
    }
    return render(request, "admin/pipelines/template_preview.html", context)


def _contact(request: HttpRequest, template: MessageTemplate) -> tuple[Contact | None, list[Contact]]:
    """The newest contact unless another is asked for; several when a text finds several."""
    site: Any = admin.site
    if not site.get_model_admin(Contact).has_view_permission(request):
        return None, []
    rows = Contact.objects.for_team(template.team)
    number, text = request.GET.get("contact", ""), request.GET.get("q", "").strip()[:100]
    if number.isascii() and number.isdigit() and len(number) < 18:
        return rows.filter(pk=number).first(), []
    if not text:
        return rows.order_by("-pk").first(), []
    found = list(search(contacts=rows, text=text, team=template.team).order_by("-pk")[:FOUND])
    return (found[0] if found else None), found[1:]


def _send(request: HttpRequest, template: MessageTemplate, contact: Contact | None) -> None:
    to = str(getattr(request.user, "email", ""))
    try:
        send_test(template=template, contact=contact, to=to, now=engine_now())
    except NotSent as error:
        messages.error(request, f"Not sent. {error}")
        return
    audit_request(request=request, action="templates.tested", target=template, team=template.team)
    messages.success(request, f"The test is on its way to {to}.")
