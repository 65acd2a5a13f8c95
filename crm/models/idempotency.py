"""Answers remembered for a while, so that a repeated POST has one effect."""

from django.db import models

from crm.models.api_key import ApiKey


class IdempotentRequest(models.Model):
    """The answer given to one key of one API key holder."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=120)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["api_key", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
