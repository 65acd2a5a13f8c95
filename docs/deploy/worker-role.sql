-- A role of PostgreSQL for workers, which can read no password, session or API key. Run it as the owner of the tables,
-- again after every `migrate`:  psql -v ON_ERROR_STOP=1 -d crm -f docs/deploy/worker-role.sql
-- The role has no login before `ALTER ROLE crm_worker LOGIN PASSWORD '…'`.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crm_worker') THEN
        CREATE ROLE crm_worker NOLOGIN NOINHERIT;
    END IF;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM crm_worker;
GRANT USAGE ON SCHEMA public TO crm_worker;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO crm_worker;

-- People without the hash of their password.
GRANT SELECT (
    id, username, first_name, last_name, email, is_active, is_staff, is_superuser, last_login, date_joined
) ON auth_user TO crm_worker;

-- What only people change.
GRANT SELECT ON
    django_content_type,
    crm_team, crm_member, crm_messagetemplate, crm_secret, crm_topic,
    contacts_fielddefinition, contacts_recordtype, contacts_importmapping,
    pipelines_pipelinestep, pipelines_pipelineversion
TO crm_worker;

-- Addresses of incoming webhooks without what lets somebody post to them.
GRANT SELECT (
    id, team_id, name, trigger_id, token_hint, fields, topic, enabled, received_total, refused_total, last_received_at,
    created_by_id, created_at
) ON pipelines_hook TO crm_worker;

-- What is only ever added to by workers.
GRANT SELECT, INSERT ON crm_auditentry, crm_consententry TO crm_worker;

-- Records, messages, tasks, and all that the engine moves.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    contacts_activity, contacts_company, contacts_contact, contacts_contact_tags, contacts_deal, contacts_record,
    contacts_segment, contacts_segmentchange, contacts_segmentmembership, contacts_tag,
    contacts_contactimport, contacts_importkey, contacts_importproblem,
    crm_device, crm_integration, crm_message, crm_messageevent, crm_notification, crm_optin, crm_subscription,
    crm_suppression, crm_task,
    django_q_ormq, django_q_schedule, django_q_task,
    pipelines_effect, pipelines_enginestate, pipelines_engineworker, pipelines_enrollmentdecision, pipelines_event,
    pipelines_eventkey, pipelines_eventtype, pipelines_eventwait, pipelines_firing, pipelines_goalhit,
    pipelines_hookdelivery, pipelines_humantask, pipelines_lanestrike, pipelines_pipeline, pipelines_pipelinerun,
    pipelines_quiet, pipelines_runcontext, pipelines_sendingrules, pipelines_stepcircuit, pipelines_stepexecution,
    pipelines_stepfailure, pipelines_stepstat, pipelines_trigger, pipelines_webhook, pipelines_webhookdelivery
TO crm_worker;
