"""Pages of other apps that must not exist here."""

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model

# The queue's pages accept the name of any function and run it: whoever may add a schedule owns the machine.
# Groups would be a second permission system beside the matrix.
CLOSED: list[type[Model]] = [*apps.get_app_config("django_q").get_models(), Group]

admin.site.unregister([model for model in CLOSED if admin.site.is_registered(model)])
