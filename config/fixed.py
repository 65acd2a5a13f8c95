"""Settings that no environment changes: the description of the API, the content policy, the look of the admin."""

from typing import Any

from django.templatetags.static import static

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "CRM API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "MessageState": "crm.models.message.Message.State",
        "TaskStatus": "crm.models.task.Task.Status",
        "PipelineStatus": ["draft", "active", "paused", "archived"],
        "RunStatus": ["pending", "running", "waiting", "paused", "completed", "failed", "cancelled"],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "frame-src": ["'self'"],
        "form-action": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "CRM",
    "SITE_HEADER": "CRM",
    "SITE_SUBHEADER": "config.navigation.team_name",
    "SITE_DROPDOWN": [
        {"icon": "groups", "title": "Switch team", "link": "/admin/team/"},
        {"icon": "api", "title": "API", "link": "/api/v1/docs/"},
    ],
    # There is no other site to return to.
    "SITE_URL": None,
    "SITE_SYMBOL": "conversion_path",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("crm/icon.svg")}],
    "STYLES": [lambda request: static("crm/admin.css")],
    "SCRIPTS": [lambda request: static("crm/admin.js")],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "config.dashboard.dashboard",
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": "config.navigation.sidebar"},
}
