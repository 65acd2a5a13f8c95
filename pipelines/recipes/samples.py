"""One step of every kind as a document has it, for the documentation."""

from collections.abc import Mapping
from typing import Any, Final

SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "send_email": {
        "delay": "2d",
        "with": {"subject": "Hello {{ contact.first_name | default: 'there' }}", "topic": "news"},
        "message": "We are glad that you are here.",
    },
    "send_sms": {"message": "Your table is ready, {{ contact.first_name }}."},
    "send_push": {"with": {"title": "Your order", "body": "It is on its way.", "data": {"screen": "orders"}}},
    "send_whatsapp": {
        "with": {"approved": {"name": "order_update", "language": "en", "parameters": ["{{ contact.first_name }}"]}}
    },
    "create_task": {"with": {"title": "Call {{ contact.first_name }}", "due": "1d", "priority": "high"}},
    "human_task": {
        "key": "ask",
        "timeout": "3d",
        "with": {
            "title": "Is {{ contact.first_name }} a fit?",
            "role": "manager",
            "form": [{"name": "budget", "type": "number", "label": "Budget", "required": True}],
            "outcomes": ["yes", "no"],
        },
        "on": {"no": "end", "timeout": "end"},
    },
    "notify": {"with": {"to": "{{ contact.owner }}", "title": "{{ contact.first_name }} has answered"}},
    "send_chat": {"with": {"title": "New lead", "text": "{{ contact.first_name }} of {{ contact.company.name }}"}},
    "wait": {"delay": {"for": "3d", "at": "09:00", "days": ["mon", "tue", "wed", "thu", "fri"], "tz": "subject"}},
    "condition": {"if": "contact.lead_score >= 50", "on": {"false": "end"}},
    "switch": {
        "with": {
            "cases": [
                {"name": "large", "if": "contact.company.size >= 200"},
                {"name": "small", "if": {"field": "contact.company.size", "operator": "less_than", "value": 20}},
            ]
        },
        "on": {"large": "next", "small": "end", "default": "end"},
    },
    "split": {
        "with": {"variants": [{"name": "short", "weight": 1}, {"name": "long", "weight": 1}], "holdout": 10},
        "on": {"short": "next", "long": "next", "holdout": "end"},
    },
    "set_variable": {"with": {"attempts": "= attempts + 1"}},
    "enroll": {"with": {"pipeline": "renewals", "record": "{{ contact.company }}"}},
    "unenroll": {"with": {"pipeline": "welcome"}},
    "wait_for": {
        "timeout": "7d",
        "with": {"events": [{"name": "paid", "event": "order_paid", "where": "event.total > 100", "since": "run"}]},
        "on": {"timeout": "end"},
    },
    "parallel": {
        "timeout": "14d",
        "with": {
            "branches": [
                {"name": "letter", "steps": [{"type": "send_email", "message": "Welcome!"}]},
                {"name": "call", "if": "contact.phone", "steps": [{"type": "create_task", "message": "Call them"}]},
            ],
            "join": "all",
            "on_branch_error": "wait",
        },
    },
    "loop": {
        "with": {
            "over": "= trigger.products",
            "as": "product",
            "concurrency": 5,
            "tolerate": "10%",
            "steps": [{"type": "create_task", "with": {"title": "Order {{ product.name }}"}}],
        }
    },
    "call": {"timeout": "1d", "with": {"pipeline": "check_address", "set": {"country": "{{ contact.country }}"}}},
    "end": {"with": {"status": "completed", "reason": "won"}},
    "find_records": {
        "key": "find",
        "with": {
            "model": "contacts.deal",
            "where": [{"field": "stage", "operator": "not_in_list", "value": ["won", "lost"]}],
            "order": "-amount",
            "limit": 10,
        },
    },
    "create_record": {"with": {"model": "crm.task", "values": {"title": "Check {{ contact.email }}"}}},
    "update_record": {"with": {"values": {"lifecycle_stage": "customer", "won_in": "{{ now | date: '%Y' }}"}}},
    "add_to_segment": {"with": {"segment": "early-birds"}},
    "remove_from_segment": {"with": {"segment": "early-birds"}},
    "create_segment": {"with": {"segment": "spring-2027", "name": "Spring 2027"}},
    "call_api": {
        "key": "look_up",
        "retry": {"max": 5, "delay": "1m", "backoff": 2, "max_delay": "1h", "on": ["http_5xx", "timeout"]},
        "with": {
            "method": "POST",
            "url": "https://api.example.com/people",
            "headers": {"Authorization": "Bearer {{ secret.CRM_KEY }}"},
            "body": {"email": "{{ contact.email }}"},
        },
        "on": {"error": "next"},
    },
    "code": {
        "key": "score",
        "timeout": "1s",
        "with": {"source": "orders = context['trigger'].get('orders', [])\nresult = {'points': 10 * len(orders)}"},
    },
}
