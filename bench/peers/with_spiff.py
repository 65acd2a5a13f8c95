# mypy: ignore-errors
"""SpiffWorkflow: a BPMN process with two script tasks and a gateway, written to PostgreSQL after each step.

It is a library without workers: each of two processes takes the workflows of its own contacts. Tuned: what a step
changes and the serialized workflow share one transaction, the process is parsed once, and the workflow stays in memory
between its steps. It is not read back, as it would be after a crash.
"""

import io

import psycopg
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, race
from lxml import etree
from SpiffWorkflow.bpmn import BpmnWorkflow
from SpiffWorkflow.bpmn.parser import BpmnParser
from SpiffWorkflow.bpmn.script_engine import PythonScriptEngine, TaskDataEnvironment
from SpiffWorkflow.bpmn.serializer import BpmnWorkflowSerializer
from SpiffWorkflow.util.task import TaskState

DIAGRAM = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="bench"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <process id="journey" isExecutable="true">
  <startEvent id="start"><outgoing>a</outgoing></startEvent>
  <sequenceFlow id="a" sourceRef="start" targetRef="mark"/>
  <scriptTask id="mark"><incoming>a</incoming><outgoing>b</outgoing><script>mark(contact)</script></scriptTask>
  <sequenceFlow id="b" sourceRef="mark" targetRef="decide"/>
  <exclusiveGateway id="decide" default="d"><incoming>b</incoming><outgoing>c</outgoing><outgoing>d</outgoing>
  </exclusiveGateway>
  <sequenceFlow id="c" sourceRef="decide" targetRef="record">
   <conditionExpression xsi:type="tFormalExpression">wanted(contact)</conditionExpression></sequenceFlow>
  <sequenceFlow id="d" sourceRef="decide" targetRef="end"/>
  <scriptTask id="record"><incoming>c</incoming><outgoing>e</outgoing><script>record(contact)</script></scriptTask>
  <sequenceFlow id="e" sourceRef="record" targetRef="end"/>
  <endEvent id="end"><incoming>d</incoming><incoming>e</incoming></endEvent>
 </process>
</definitions>"""
STEPS = ("mark", "decide", "record")
options = arguments()


def specification():
    parser = BpmnParser()
    parser.add_bpmn_xml(etree.parse(io.BytesIO(DIAGRAM.encode())))
    return parser.get_spec("journey")


def work(number, ready) -> None:
    database = psycopg.connect(options.database)
    functions = {
        "mark": lambda contact: database.execute(MARK, [contact]) and None,
        "wanted": lambda contact: is_wanted(database.execute(READ, [contact]).fetchone()[0]),
        "record": lambda contact: database.execute(RECORD, [contact]) and None,
    }
    engine, serializer = PythonScriptEngine(TaskDataEnvironment(functions)), BpmnWorkflowSerializer()
    journey = specification()
    ready()
    for contact in range(1 + number, options.contacts + 1, options.workers):
        workflow = BpmnWorkflow(journey, script_engine=engine)
        workflow.data["contact"] = contact
        workflow.get_next_task(state=TaskState.READY).data["contact"] = contact
        while task := workflow.get_next_task(state=TaskState.READY):
            task.run()
            if task.task_spec.name in STEPS:
                state = serializer.serialize_json(workflow)
                database.execute("UPDATE workflow SET state = %s WHERE id = %s", [state, contact])
                database.commit()
        assert workflow.is_completed()


prepare(options.database, options.contacts)
with psycopg.connect(options.database, autocommit=True) as connection:
    connection.execute("CREATE TABLE workflow (id int PRIMARY KEY, state text)")
    connection.execute("INSERT INTO workflow SELECT id FROM contact")
race(options, work, package="SpiffWorkflow", workers=f"{options.workers} processes",
     durability="a commit for each step, with the whole workflow as JSON")  # fmt: skip
