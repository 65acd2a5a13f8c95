"""Business that may be won."""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models

from contacts.models.company import Company
from contacts.models.contact import Contact
from contacts.models.observed import Observed
from crm.models import TeamScopedQuerySet


class Deal(Observed):
    """One opportunity with an amount and an expected close."""

    class Stage(models.TextChoices):
        NEW = "new", "New"
        QUALIFIED = "qualified", "Qualified"
        PROPOSAL = "proposal", "Proposal"
        NEGOTIATION = "negotiation", "Negotiation"
        WON = "won", "Won"
        LOST = "lost", "Lost"

    title = models.CharField(max_length=200)
    contact = models.ForeignKey(Contact, null=True, blank=True, on_delete=models.SET_NULL, related_name="deals")
    company = models.ForeignKey(Company, null=True, blank=True, on_delete=models.SET_NULL, related_name="deals")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    stage = models.CharField(max_length=20, choices=Stage.choices, default=Stage.NEW)
    amount = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    currency = models.CharField(max_length=3, default="EUR")
    expected_close = models.DateField(null=True, blank=True)
    custom = models.JSONField(default=dict, blank=True)
    # Deleting the record deletes what was written about it; messages stay, for they were sent.
    activities = GenericRelation("contacts.Activity", "subject_id", "subject_type")
    tasks = GenericRelation("crm.Task", "subject_id", "subject_type")
    memberships = GenericRelation("contacts.SegmentMembership", "subject_id", "subject_type")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["Deal"].as_manager()

    class Meta:
        indexes = [models.Index(fields=["team", "stage"], name="deal_stage")]

    def __str__(self) -> str:
        return self.title
