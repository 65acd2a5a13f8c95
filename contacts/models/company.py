"""Companies that contacts work for."""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models

from contacts.models.observed import Observed
from crm.models import TeamScopedQuerySet


class Company(Observed):
    """An organization."""

    name = models.CharField(max_length=200)
    domain = models.CharField(max_length=200, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    website = models.URLField(blank=True)
    industry = models.CharField(max_length=100, blank=True)
    address = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    custom = models.JSONField(default=dict, blank=True)
    # Deleting the record deletes what was written about it; messages stay, for they were sent.
    activities = GenericRelation("contacts.Activity", "subject_id", "subject_type")
    tasks = GenericRelation("crm.Task", "subject_id", "subject_type")
    memberships = GenericRelation("contacts.SegmentMembership", "subject_id", "subject_type")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["Company"].as_manager()

    class Meta:
        verbose_name_plural = "companies"
        indexes = [models.Index(fields=["team", "name"], name="company_name")]

    def __str__(self) -> str:
        return self.name
