"""Definitions as their products write them."""

from typing import Any

STEPS: dict[str, Any] = {
    "name": "Welcome",
    "description": "Greets new contacts",
    "trigger": {"type": "event", "config": {"event": "contact.created"}},
    "steps": [
        {"id": "send-email", "type": "email", "config": {"templateSlug": "welcome"}},
        {"id": "pause", "type": "wait", "config": {"duration": 2, "unit": "hours"}},
        {"id": "is-lead", "type": "condition",
         "config": {"field": "lifecycle_stage", "operator": "equals", "value": "lead"}},
        {"id": "mark", "type": "update-field", "config": {"field": "leadSource", "value": "welcome"}},
        {"id": "tell", "type": "notification", "config": {"message": "{{contact.firstName}} is here"}},
        {"id": "hook", "type": "webhook",
         "config": {"url": "https://example.org/hook", "method": "post", "body": {"email": "{{contact.email}}"}}},
    ],
}  # fmt: skip

ACTIONS: dict[str, Any] = {
    "workflow_id": "welcome_campaign_001",
    "name": "Welcome Campaign",
    "description": "Automated welcome campaign for new users",
    "trigger": {
        "type": "user_signup",
        "conditions": [{"field": "email_verified", "operator": "equals", "value": True}],
    },
    "actions": [
        {
            "id": "action_001", "type": "send_email", "template": "welcome_email", "delay": 0,
            "data": {
                "recipient": "{{user.email}}", "subject": "Welcome to Appgain!",
                "variables": {"user_name": "{{user.name}}", "signup_date": "{{user.createdAt}}"},
            },
        },
        {
            "id": "action_002", "type": "send_push", "template": "welcome_push", "delay": 300,
            "data": {"recipients": ["{{user.deviceToken}}"], "title": "Welcome!", "body": "Thanks for joining Appgain"},
        },
        {
            "id": "action_003", "type": "update_user_profile", "delay": 600,
            "data": {
                "user_id": "{{user.id}}",
                "profile_data": {"onboarding_completed": True, "welcome_campaign_sent": True},
            },
        },
    ],
    "settings": {"enabled": True, "max_executions": 10000, "timeout": 300},
}  # fmt: skip

CART: dict[str, Any] = {
    "workflow_id": "abandoned_cart_recovery",
    "name": "Abandoned Cart Recovery",
    "trigger": {
        "type": "abandoned_cart", "conditions": [{"field": "cart_value", "operator": "greater_than", "value": 50}],
    },
    "actions": [
        {
            "type": "send_email", "template": "cart_reminder",
            "data": {
                "recipient": "{{user.email}}", "subject": "Your cart is waiting!",
                "variables": {
                    "user_name": "{{user.name}}", "cart_items": "{{cart.items}}", "cart_total": "{{cart.total}}",
                },
            },
        },
        {
            "type": "send_push",
            "data": {
                "recipients": ["{{user.deviceToken}}"], "title": "Don't forget your cart!",
                "body": "Complete your purchase and get 10% off",
            },
        },
    ],
}  # fmt: skip

ONBOARDING: dict[str, Any] = {
    "workflow_id": "user_onboarding",
    "name": "User Onboarding Sequence",
    "trigger": {"type": "user_signup"},
    "actions": [
        {"type": "send_email", "template": "welcome_email", "delay": 0},
        {"type": "send_push", "template": "welcome_push", "delay": 300},
        {"type": "send_email", "template": "getting_started", "delay": 3600},
        {"type": "send_email", "template": "feature_showcase", "delay": 86400},
    ],
}

_LEAD_MAIL = {"firstName": "{{lead.firstName}}", "companyName": "{{lead.company.name}}"}
FLOW: dict[str, Any] = {
    "id": "lead_nurture_sequence",
    "name": "Lead Nurturing Sequence",
    "description": "Automated nurturing for qualified leads",
    "version": 1,
    "enabled": True,
    "trigger": {"type": "event", "configuration": {"event": "lead_qualified"}},
    "steps": [
        {
            "id": "welcome_email", "name": "Send Welcome Email", "type": "action",
            "configuration": {
                "action": "send_email",
                "parameters": {
                    "template": "welcome_qualified_lead", "recipient": "{{lead.email}}", "data": _LEAD_MAIL,
                },
            },
            "nextSteps": ["wait_3_days"],
            "errorHandling": {"retryCount": 3, "retryDelay": 60, "onError": "continue"},
        },
        {
            "id": "wait_3_days", "name": "Wait 3 Days", "type": "delay", "configuration": {"duration": 259200},
            "nextSteps": ["check_engagement"],
        },
        {
            "id": "check_engagement", "name": "Check Lead Engagement", "type": "condition",
            "configuration": {
                "condition": "lead.lastInteraction > (new Date() - 3 * 24 * 60 * 60 * 1000)",
                "trueSteps": ["send_followup"], "falseSteps": ["create_task"],
            },
            "nextSteps": [],
        },
        {
            "id": "send_followup", "name": "Send Follow-up Email", "type": "action",
            "configuration": {
                "action": "send_email",
                "parameters": {"template": "followup_engaged_lead", "recipient": "{{lead.email}}"},
            },
            "nextSteps": ["schedule_call"],
        },
        {
            "id": "create_task", "name": "Create Follow-up Task", "type": "action",
            "configuration": {
                "action": "create_task",
                "parameters": {
                    "title": "Follow up with unengaged lead", "description": "Lead has not engaged in 3 days",
                    "assignee": "{{lead.assignedTo}}", "priority": "medium",
                },
            },
            "nextSteps": [],
        },
        {
            "id": "schedule_call", "name": "Schedule Discovery Call", "type": "human_task",
            "configuration": {
                "assignee": "{{lead.assignedTo}}", "title": "Schedule Discovery Call",
                "description": "Schedule a discovery call with engaged lead",
                "formFields": [
                    {"name": "callDate", "type": "datetime", "required": True},
                    {"name": "agenda", "type": "text", "required": False},
                ],
            },
            "nextSteps": [],
        },
    ],
    "variables": [
        {"name": "lead", "type": "object", "required": True},
        {"name": "callDate", "type": "string", "required": False},
        {"name": "agenda", "type": "string", "required": False},
    ],
    "metadata": {"createdBy": "sales_manager", "createdAt": "2026-01-01T00:00:00Z"},
}  # fmt: skip


def _task(key: str, title: str, due: str, *after: str) -> dict[str, Any]:
    parameters = {"title": title, "assignee": "{{opportunity.assignedTo}}", "dueDate": due}
    configuration = {"action": "create_task", "parameters": parameters}
    return {"id": key, "name": title, "type": "action", "configuration": configuration, "nextSteps": list(after)}


OPPORTUNITY: dict[str, Any] = {
    "id": "opportunity_pipeline",
    "name": "Opportunity Pipeline Management",
    "version": 1,
    "enabled": True,
    "trigger": {"type": "event", "configuration": {"event": "opportunity_created"}},
    "steps": [
        _task("initial_research", "Research prospect company", "+2 days", "wait_for_research"),
        {
            "id": "wait_for_research", "name": "Wait for Research Completion", "type": "human_task",
            "configuration": {
                "assignee": "{{opportunity.assignedTo}}", "title": "Complete Research",
                "formFields": [
                    {"name": "keyFindings", "type": "textarea", "required": True},
                    {"name": "nextAction", "type": "select",
                     "options": ["schedule_demo", "send_proposal", "qualify_further"]},
                ],
            },
            "nextSteps": ["route_next_action"],
        },
        {
            "id": "route_next_action", "name": "Route Based on Research", "type": "condition",
            "configuration": {
                "condition": 'nextAction === "schedule_demo"',
                "trueSteps": ["schedule_demo"], "falseSteps": ["check_proposal"],
            },
            "nextSteps": [],
        },
        _task("schedule_demo", "Schedule product demo", "+1 week", "demo_followup"),
        {"id": "demo_followup", "name": "Demo Follow-up", "type": "delay", "configuration": {"duration": 86400},
         "nextSteps": ["send_demo_followup"]},
        {
            "id": "send_demo_followup", "name": "Send Demo Follow-up", "type": "action",
            "configuration": {
                "action": "send_email",
                "parameters": {
                    "template": "demo_followup", "recipient": "{{opportunity.contact.email}}",
                    "data": {"demoDate": "{{demoDate}}", "nextSteps": "{{nextSteps}}"},
                },
            },
            "nextSteps": [],
        },
    ],
    "variables": [
        {"name": "opportunity", "type": "object", "required": True},
        {"name": "keyFindings", "type": "string", "required": False},
        {"name": "nextAction", "type": "string", "required": False},
        {"name": "demoDate", "type": "string", "required": False},
    ],
}  # fmt: skip

_LOW = "low = [p for p in context['steps']['stock']['records'] if p['quantity'] < p['minimum']]\nresult = {'low': low}"
NODES: dict[str, Any] = {
    "metadata": {"id": "inventory-reorder", "name": "Inventory Reorder Alerts", "owner": "purchasing"},
    "nodes": [
        {"id": "start", "type": "trigger", "name": "Manual start"},
        {"id": "report", "type": "action", "name": "Report", "config": {"action": "notify", "text": "Checked"}},
        {"id": "stock", "type": "action", "name": "Stock", "config": {"action": "find_records", "model": "product"}},
        {"id": "check", "type": "action", "name": "Compare", "config": {"code": _LOW}},
        {"id": "alert", "type": "action", "name": "Alert",
         "config": {"action": "notify", "text": "{{ steps.check.low | size }} are low"}, 
         "position": {"x": 10, "y": 20}},
    ],
    "edges": [
        {"source": "start", "target": "stock"},
        {"source": "stock", "target": "check"},
        {"source": "check", "target": "alert"},
        {"source": "stock", "target": "report"},
    ],
}  # fmt: skip
