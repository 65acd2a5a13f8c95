"""The API as a whole: resources of every app on one router, the schema and its page."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import contacts.api.urls
import crm.api.urls
import pipelines.api.urls
from crm.api.router import TeamRouter

router = TeamRouter()
for app in (crm.api.urls, contacts.api.urls, pipelines.api.urls):
    app.register(router)

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    *crm.api.urls.urlpatterns,
    *contacts.api.urls.urlpatterns,
    *pipelines.api.urls.urlpatterns,
    *router.urls,
]
