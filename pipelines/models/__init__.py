"""Tables of pipelines."""

from pipelines.models.circuit import StepCircuit, StepFailure
from pipelines.models.event import EnrollmentDecision, Event, EventKey
from pipelines.models.event_type import EventType
from pipelines.models.firing import Firing, Quiet
from pipelines.models.hook import Hook, HookDelivery
from pipelines.models.human import HumanTask
from pipelines.models.outgoing import Webhook, WebhookDelivery
from pipelines.models.pipeline import Pipeline, PipelineStep, PipelineVersion
from pipelines.models.run import (
    Effect,
    EngineState,
    EngineWorker,
    LaneStrike,
    PipelineRun,
    RunContext,
    StepExecution,
    StepStat,
)
from pipelines.models.sending import SendingRules
from pipelines.models.trigger import AutomaticPipeline, Trigger
from pipelines.models.waiting import EventWait, GoalHit

__all__ = [
    "AutomaticPipeline",
    "Effect",
    "EngineState",
    "EngineWorker",
    "EnrollmentDecision",
    "Event",
    "EventKey",
    "EventType",
    "EventWait",
    "Firing",
    "GoalHit",
    "Hook",
    "HookDelivery",
    "HumanTask",
    "LaneStrike",
    "Pipeline",
    "PipelineRun",
    "PipelineStep",
    "PipelineVersion",
    "Quiet",
    "RunContext",
    "SendingRules",
    "StepCircuit",
    "StepExecution",
    "StepFailure",
    "StepStat",
    "Trigger",
    "Webhook",
    "WebhookDelivery",
]
