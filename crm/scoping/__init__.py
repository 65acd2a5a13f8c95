"""The bases that keep every page and every resource inside one team."""

from crm.scoping.admin import (
    TeamScopedAdmin,
    TeamScopedGenericTabularInline,
    TeamScopedReadOnlyAdmin,
    TeamScopedStackedInline,
    TeamScopedTabularInline,
)
from crm.scoping.api import (
    SubjectField,
    TeamScopedReadOnlyViewSet,
    TeamScopedSerializer,
    TeamScopedView,
    TeamScopedViewSet,
)
from crm.scoping.rows import rows_of_team

__all__ = [
    "SubjectField",
    "TeamScopedAdmin",
    "TeamScopedGenericTabularInline",
    "TeamScopedReadOnlyAdmin",
    "TeamScopedReadOnlyViewSet",
    "TeamScopedSerializer",
    "TeamScopedStackedInline",
    "TeamScopedTabularInline",
    "TeamScopedView",
    "TeamScopedViewSet",
    "rows_of_team",
]
