"""Pipelines: definitions, versions, triggers, runs and the engine that moves them."""

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    """Registers pipelines and connects the observer."""

    name = "pipelines"
    verbose_name = "Pipelines"

    def ready(self) -> None:
        from pipelines.operations.gates import register_gate
        from pipelines.simulation.expect import unmet
        from pipelines.triggers import observers, records

        observers.connect()
        records.connect()
        register_gate(unmet)
