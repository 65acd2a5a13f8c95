"""Forms that know their team before they validate, and refuse rows of another."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.contenttypes.fields import GenericForeignKey
from django.db import models

from crm.models import Team
from crm.scoping.rows import belongs, has_own_team, rows_of_team, subject_types


class TeamForm(forms.ModelForm[Any]):
    """Mixed into every admin form; `current_team` is None when a superuser chooses the team."""

    current_team: Team | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if has_own_team(type(self.instance)) and self.current_team and self.instance.team_id is None:
            self.instance.team = self.current_team

    def _get_validation_exclusions(self) -> set[str]:
        """Keep the team in validation, so that "once per team" is a form error and not a crash."""
        excluded = set(super()._get_validation_exclusions())  # type: ignore[misc]
        return excluded - {"team"} if getattr(self.instance, "team_id", None) else excluded

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        values = self.cleaned_data if cleaned is None else cleaned
        team = values.get("team") or self._team_of_instance()
        if team is not None:
            self._refuse_strangers(values, team)
        self._refuse_unknown_subjects(values, team)
        return cleaned

    def _team_of_instance(self) -> Team | None:
        return self.current_team or (self.instance.team if getattr(self.instance, "team_id", None) else None)

    def _refuse_strangers(self, values: dict[str, Any], team: Team) -> None:
        for name, value in list(values.items()):
            if name != "team" and not all(belongs(row=row, team=team) for row in _rows(value)):
                self.add_error(name, "Select a valid choice. That choice is not one of the available choices.")

    def _refuse_unknown_subjects(self, values: dict[str, Any], team: Team | None) -> None:
        for generic in generic_relations(type(self.instance)):
            kind, key = values.get(generic.ct_field), values.get(generic.fk_field)
            if kind is None and key is None:
                continue
            model = kind.model_class() if kind is not None and kind.pk in subject_types() else None
            if model is None or not rows_of_team(model=model, team=team).filter(pk=key).exists():
                self.add_error(
                    generic.fk_field if generic.fk_field in self.fields else None,
                    "There is no such record.",
                )


def generic_relations(model: type[models.Model]) -> Iterable[GenericForeignKey]:
    return [each for each in model._meta.private_fields if isinstance(each, GenericForeignKey)]


def _rows(value: Any) -> Iterable[models.Model]:
    if isinstance(value, models.Model):
        return [value]
    return list(value) if isinstance(value, models.QuerySet) else []
