"""Pipelines: definitions, versions, triggers, runs and the engine that moves them."""

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    """Registers pipelines and connects the observer."""

    name = "pipelines"
    verbose_name = "Pipelines"

    def ready(self) -> None:
        from crm.integrations import register_troubles
        from crm.team_secrets import register_uses
        from crm.template_checks import register_template_check
        from crm.work import form_slot
        from pipelines.engine.outage import troubles_of
        from pipelines.operations.gates import register_gate
        from pipelines.operations.people import HumanTasks
        from pipelines.operations.secret_problems import pipelines_with
        from pipelines.operations.stored_templates import template_warnings
        from pipelines.simulation.expect import unmet
        from pipelines.triggers import announcing, erasing, observers, records

        form_slot.register(HumanTasks())
        observers.connect()
        announcing.connect()
        records.connect()
        erasing.connect()
        register_gate(unmet)
        register_template_check(template_warnings)
        register_troubles(troubles_of)
        register_uses(pipelines_with)
