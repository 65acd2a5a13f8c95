"""The page of files that mail may carry: look, upload, download, delete."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from crm.auditing import audit_request
from crm.files import LARGEST, FileRefused, delete_file, files_of, keep_file, open_file
from crm.models import Team
from crm.permissions import allows

# Who writes the texts of mail also decides what goes with them.
RESOURCE = "templates"


def files(request: HttpRequest) -> HttpResponse:
    """The form, and below it the list; a POST takes a file in."""
    if getattr(request, "team", None) is None:
        return redirect("switch-team")
    team = _team(request, "add" if request.method == "POST" else "view")
    if request.method == "POST":
        _upload(request, team)
        return redirect("files")
    context = {
        **admin.site.each_context(request),
        "title": "Files",
        "files": files_of(team),
        "limit": LARGEST // 1_048_576,
        "may_add": _may(request, "add"),
        "may_delete": _may(request, "delete"),
    }
    return render(request, "admin/crm/files.html", context)


@require_safe
def download(request: HttpRequest) -> FileResponse:
    """The file, never shown in place: somebody's HTML or SVG would act in our name."""
    team = _team(request, "view")
    name = request.GET.get("name", "")
    try:
        content = open_file(team=team, name=name)
    except FileRefused as missing:
        raise Http404(str(missing)) from missing
    answer = FileResponse(
        content, as_attachment=True, filename=name.rpartition("/")[2], content_type="application/octet-stream"
    )
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


@require_POST
def delete(request: HttpRequest) -> HttpResponse:
    team = _team(request, "delete")
    name = request.POST.get("name", "")
    try:
        delete_file(team=team, name=name)
    except FileRefused as refused:
        messages.error(request, str(refused))
    else:
        audit_request(request=request, action="files.deleted", team=team, name=name[:200])
        messages.success(request, f"{name} is deleted.")
    return redirect("files")


def urls() -> list[URLPattern]:
    """To stand before the admin's own."""
    return [
        path("admin/files/", admin.site.admin_view(files), name="files"),
        path("admin/files/download/", admin.site.admin_view(download), name="files-download"),
        path("admin/files/delete/", admin.site.admin_view(delete), name="files-delete"),
    ]


def _upload(request: HttpRequest, team: Team) -> None:
    given = request.FILES.get("file")
    if given is None:
        messages.error(request, "Choose a file first.")
        return
    try:
        name = keep_file(team=team, upload=given)
    except FileRefused as refused:
        messages.error(request, str(refused))
        return
    audit_request(request=request, action="files.added", team=team, name=name)
    messages.success(request, f'Kept. Steps attach it as [{{"file": "{name}"}}].')


def _team(request: Any, verb: str) -> Team:
    """The team of the request, where its role allows this."""
    if request.team is None or not _may(request, verb):
        raise PermissionDenied
    team: Team = request.team
    return team


def _may(request: Any, verb: str) -> bool:
    role = request.member.role if request.member else None
    return bool(request.user.is_superuser or allows(role=role, resource=RESOURCE, verb=verb))
