"""What the API accepts and shows of versions: queries, histories, differences and previews."""

from typing import Any

from rest_framework import serializers

from crm.api.known_keys import KnownKeys
from pipelines.api import bodies, shapes

POLICIES = ["follow", "pin", "cancel"]
DRAFT = "draft"


class PreviewQuery(serializers.Serializer[Any]):
    """Whether to tell what would happen instead of doing it."""

    preview = serializers.BooleanField(required=False, default=False)


class RollBackIn(KnownKeys):
    """The number of the version to go back to, a word about it, and what becomes of runs on their way.

    Going back to the current version drops what was edited since and publishes nothing.
    """

    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)
    policy = serializers.ChoiceField(choices=POLICIES, required=False, allow_null=True, default=None)


class BackfillIn(KnownKeys):
    """The key of the step, and whether those who completed the pipeline get it too."""

    step = serializers.CharField(max_length=40)
    completed = serializers.BooleanField(required=False, default=False)


class BackfillOut(serializers.Serializer[Any]):
    """Who has passed the step; how many got it now, and whether some are left for another call."""

    step = serializers.CharField()
    name = serializers.CharField()
    on_the_way = serializers.IntegerField()
    completed = serializers.IntegerField()
    done = serializers.IntegerField()
    left = serializers.BooleanField()


class DifferenceQuery(serializers.Serializer[Any]):
    """Two versions by number; `draft` is the definition as it stands now."""

    frm = serializers.CharField(max_length=10, required=False, default="")
    to = serializers.CharField(max_length=10, required=False, default=DRAFT)

    def get_fields(self) -> Any:
        """`from` is a word of Python, but errors name what was sent."""
        fields = super().get_fields()
        return {"from": fields["frm"], "to": fields["to"]}


class PictureQuery(serializers.Serializer[Any]):
    """How to draw: the theme, the version, with the runs at each step, as a thumbnail."""

    theme = serializers.ChoiceField(choices=["auto", "light", "dark"], required=False, default="auto")
    version = serializers.CharField(max_length=10, required=False, default=DRAFT)
    counts = serializers.BooleanField(required=False, default=False)
    small = serializers.BooleanField(required=False, default=False)


class VersionOut(serializers.Serializer[Any]):
    """One version with the runs on it."""

    number = serializers.IntegerField()
    note = serializers.CharField(allow_blank=True)
    checksum = serializers.CharField()
    policy = serializers.CharField()
    published_at = serializers.DateTimeField()
    published_by = serializers.CharField(allow_blank=True)
    is_current = serializers.BooleanField()
    runs_on_the_way = serializers.IntegerField(source="live")
    runs_ended = serializers.IntegerField(source="ended")


class VersionsOut(serializers.Serializer[Any]):
    """The newest 200 versions."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = VersionOut(many=True)


class FieldOut(serializers.Serializer[Any]):
    """One field with its values before and after."""

    field = serializers.CharField()
    before = shapes.AnyJson(allow_null=True)
    after = shapes.AnyJson(allow_null=True)
    words = serializers.CharField()


class ChangeOut(serializers.Serializer[Any]):
    """One part that differs."""

    what = serializers.ChoiceField(choices=["added", "removed", "moved", "changed"])
    part = serializers.CharField()
    key = serializers.CharField(allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    sentence = serializers.CharField()
    fields = FieldOut(many=True)  # type: ignore[assignment]


class DifferenceOut(serializers.Serializer[Any]):
    """Every change between two versions."""

    changes = ChangeOut(many=True)


class LineOut(serializers.Serializer[Any]):
    """Runs at one step and what will happen to them."""

    step = serializers.CharField(allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    runs = serializers.IntegerField(source="count")
    what = serializers.CharField()
    to = serializers.CharField(allow_blank=True)
    words = serializers.CharField()
    due_before = serializers.ListField(child=serializers.DateTimeField(), allow_null=True)
    due_after = serializers.ListField(child=serializers.DateTimeField(), allow_null=True)


class PreviewOut(serializers.Serializer[Any]):
    """What a publish would do."""

    changes_anything = serializers.BooleanField()
    version = serializers.IntegerField(source="number")
    policy = serializers.ChoiceField(choices=POLICIES)
    runs_on_the_way = serializers.IntegerField(source="on_the_way")
    moved = serializers.DictField(child=serializers.IntegerField())
    lines = LineOut(many=True)
    changes = ChangeOut(many=True)
    problems = bodies.ProblemOut(many=True)
