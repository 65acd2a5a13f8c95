"""Ids begin again with every test, so what is cached under them must not outlive one."""

from django.core.cache import cache

from pipelines.engine.outgoing.hearing import forget_hearers
from pipelines.engine.programs import forget_programs
from pipelines.engine.short_way import forget_ways


def forget_caches() -> None:
    forget_programs()
    forget_hearers()
    forget_ways()
    cache.clear()
