from django.db import migrations

NOTHING = ("max_in_flight", "log")


def forget(apps, schema_editor):
    """Drafts that name them could not be published any more; versions stay as they were."""
    pipelines = apps.get_model("pipelines", "Pipeline").objects.exclude(settings={})
    changed = []
    for pipeline in pipelines.only("pk", "settings").iterator():
        if any(name in pipeline.settings for name in NOTHING):
            pipeline.settings = {name: value for name, value in pipeline.settings.items() if name not in NOTHING}
            changed.append(pipeline)
    apps.get_model("pipelines", "Pipeline").objects.bulk_update(changed, ["settings"], batch_size=500)


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0020_steps_have_circuits")]
    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
