from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("crm", "0010_teams_bring_their_own_channels")]
    operations = [
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("channel__in", ["sms", "push", "whatsapp"])),
                fields=["recipient"],
                name="message_number",
            ),
        )
    ]
