"""Secrets of a team: written and replaced here, shown by their last characters alone."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldBooleanWidget

from crm.models import Secret
from crm.scoping import TeamScopedAdmin
from crm.team_secrets import LONGEST, WrongSecret, keep_value, masked, tidy_hosts, uses_of


class SecretForm(forms.ModelForm[Secret]):
    """A name, a value that is only ever written, and hosts, one a line."""

    value = forms.CharField(
        max_length=LONGEST,
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )
    hosts = forms.CharField(
        max_length=6_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line, such as api.example.com. It is sent nowhere else, whatever a pipeline says.",
    )
    all_the_same = forms.BooleanField(label="Rename all the same", required=False, widget=UnfoldBooleanWidget)

    class Meta:
        model = Secret
        fields = ["name", "hosts"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._uses = words_of_use(self.instance) if "name" in self.fields and self.instance.pk else []
        if "all_the_same" in self.fields:
            self.fields["all_the_same"].help_text = f"Used by {', '.join(self._uses)}."
        if "hosts" in self.fields:
            self.initial["hosts"] = "\n".join(self.instance.hosts or ())
        if "value" in self.fields:
            self.fields["value"].required = self.instance.pk is None
            kept = f"Kept: {masked(self.instance)}. Empty leaves it as it is, and it is never shown."
            self.fields["value"].help_text = kept if self.instance.pk else "It is stored sealed and never shown again."

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        name, old = given.get("name"), self.initial.get("name")
        if name and name != old and self._uses and not given.get("all_the_same"):
            said = f"{old} is used by {', '.join(self._uses)}: calls will fail until they name {name}."
            # A value that was written is not sent back to the page.
            again = " Write the new value again, too." if self.data.get(self.add_prefix("value")) else ""
            self.add_error("all_the_same", f"{said} Tick this to rename it all the same.{again}")
        return given

    def clean_hosts(self) -> list[str]:
        try:
            return tidy_hosts(line for line in self.cleaned_data["hosts"].splitlines() if line.strip())
        except WrongSecret as error:
            raise forms.ValidationError(str(error)) from None

    def clean_value(self) -> str:
        value: str = self.cleaned_data["value"]
        if not value and self.instance.pk:
            return ""
        try:
            keep_value(self.instance, value)
        except WrongSecret as error:
            raise forms.ValidationError(str(error)) from None
        # Nothing later has any use for it.
        return ""


@admin.register(Secret)
class SecretAdmin(TeamScopedAdmin[Secret]):
    """Keys of other systems that steps carry in the headers of their calls."""

    nothing = (
        "A secret is the key of another system. Steps that call it write {{ secret.NAME }} in a header; the value "
        "stays here, sealed, and goes to the hosts you name alone."
    )
    form = SecretForm
    list_display = ("name", "shown", "sent_to", "changed_at")
    search_fields = ("name",)
    ordering = ("name",)

    def get_fieldsets(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        asks = obj is not None and self.has_change_permission(request, obj) and bool(words_of_use(obj))
        return ((None, {"fields": ("name", *(["all_the_same"] if asks else []), "value", "hosts")}),)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The page that asks names the pipelines whose calls will fail."""
        rows, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return [*rows, *_used(list(objs))], counts, lacking, protected

    @display(description="Value")
    def shown(self, row: Secret) -> str:
        return masked(row)

    @display(description="May be sent to")
    def sent_to(self, row: Secret) -> str:
        return ", ".join(row.hosts)


def words_of_use(row: Secret) -> list[str]:
    """What needs a secret under the name it is kept by."""
    return uses_of(row.team, {row.name}).get(row.name, [])


def _used(rows: list[Secret]) -> list[str]:
    """What fails without these secrets, one sentence for each use."""
    teams = {row.team_id: row.team for row in rows}
    return [
        f"{name} is used by {words}: its calls will fail."
        for pk, team in teams.items()
        for name, uses in sorted(uses_of(team, {row.name for row in rows if row.team_id == pk}).items())
        for words in uses
    ]
