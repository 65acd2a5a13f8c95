"""The people a team knows; saving a new one is what starts automatic pipelines."""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.db.models.functions import Coalesce, Lower

from contacts.models.company import Company
from contacts.models.observed import Observed
from crm.models import TeamScoped, TeamScopedQuerySet
from crm.models.team import validate_timezone


class Tag(TeamScoped):
    """A word that groups contacts."""

    name = models.CharField(max_length=60)

    objects = TeamScopedQuerySet["Tag"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint("team", Lower("name"), name="tag_once_per_team")]

    def __str__(self) -> str:
        return self.name


class Contact(Observed):
    """A person."""

    class Stage(models.TextChoices):
        SUBSCRIBER = "subscriber", "Subscriber"
        LEAD = "lead", "Lead"
        QUALIFIED = "qualified", "Qualified"
        OPPORTUNITY = "opportunity", "Opportunity"
        CUSTOMER = "customer", "Customer"
        FORMER = "former", "Former customer"

    first_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100, blank=True)
    email = models.EmailField(max_length=254, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    job_title = models.CharField(max_length=120, blank=True)
    company = models.ForeignKey(Company, null=True, blank=True, on_delete=models.SET_NULL, related_name="contacts")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    lifecycle_stage = models.CharField(max_length=20, choices=Stage.choices, default=Stage.LEAD)
    lead_source = models.CharField(max_length=60, blank=True)
    timezone = models.CharField(max_length=64, blank=True, validators=[validate_timezone])
    language = models.CharField(max_length=10, blank=True)
    last_interaction = models.DateTimeField(null=True, blank=True)
    custom = models.JSONField(default=dict, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="contacts")
    # Deleting the record deletes what was written about it; messages stay, for they were sent.
    activities = GenericRelation("contacts.Activity", "subject_id", "subject_type")
    tasks = GenericRelation("crm.Task", "subject_id", "subject_type")
    memberships = GenericRelation("contacts.SegmentMembership", "subject_id", "subject_type")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamScopedQuerySet["Contact"].as_manager()

    class Meta:
        indexes = [
            models.Index("team", Lower("email"), name="contact_email", condition=~models.Q(email="")),
            models.Index(fields=["team", "-id"], name="contact_recent"),
            # Since when nothing was heard of them.
            models.Index("team", Coalesce("last_interaction", "created_at"), name="contact_quiet"),
            models.Index(fields=["team", "last_name", "first_name"], name="contact_name"),
        ]

    def __str__(self) -> str:
        return self.name or self.email or self.phone or f"Contact {self.pk}"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()
