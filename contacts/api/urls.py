"""Where the resources of contacts stand in the API."""

from django.urls import re_path

from contacts.api.groups import RecordTypeViewSet, RecordViewSet, SegmentViewSet, TypedRecordViewSet
from contacts.api.importing import ContactImportViewSet
from contacts.api.own_fields import FieldDefinitionViewSet
from contacts.api.views import ActivityViewSet, CompanyViewSet, ContactViewSet, DealViewSet
from crm.api.router import TeamRouter


def register(router: TeamRouter) -> None:
    """Add every resource of this app."""
    router.register("contacts/import", ContactImportViewSet)
    router.register("contacts", ContactViewSet)
    router.register("companies", CompanyViewSet)
    router.register("deals", DealViewSet)
    router.register("activities", ActivityViewSet)
    router.register("segments", SegmentViewSet)
    router.register("fields", FieldDefinitionViewSet)
    router.register("record-types", RecordTypeViewSet)
    router.register("records", RecordViewSet)


_MANY = {"get": "list", "post": "create"}
_ONE = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
# Keys of types begin with a letter, so they cannot be taken for the number of a record.
urlpatterns = [
    re_path(r"^records/(?P<type>[a-z][a-z0-9_]{0,39})/$", TypedRecordViewSet.as_view(_MANY), name="typed-records"),
    re_path(
        r"^records/(?P<type>[a-z][a-z0-9_]{0,39})/(?P<pk>[0-9]{1,18})/$",
        TypedRecordViewSet.as_view(_ONE),
        name="typed-record",
    ),
]
