"""Where the resources of contacts stand in the API."""

from contacts.api.views import ActivityViewSet, CompanyViewSet, ContactViewSet, DealViewSet
from crm.api.router import TeamRouter


def register(router: TeamRouter) -> None:
    """Add every resource of this app."""
    router.register("contacts", ContactViewSet)
    router.register("companies", CompanyViewSet)
    router.register("deals", DealViewSet)
    router.register("activities", ActivityViewSet)
