"""Every fault point there is: all modules that could announce one are imported first."""

import importlib
import pkgutil
from collections.abc import Mapping

import contacts
import crm
import pipelines
from crm.faults import POINTS, Point


def all_points() -> Mapping[str, Point]:
    for package in (crm, contacts, pipelines):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    return POINTS
