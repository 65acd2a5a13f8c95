# mypy: ignore-errors
"""Absurd: one task with three steps, whose checkpoints are rows. Its tables come from the package `absurdctl`.

Tuned: two processes, each claims 50 tasks at a time (`work_batch`); `concurrency` within a process would share one
connection between its threads and gain nothing.
"""

import psycopg
from absurd_sdk import Absurd
from absurdctl import BUNDLED_SCHEMA_SQL
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, race

BATCH = 50
options = arguments()


def enqueue() -> None:
    with psycopg.connect(options.database, autocommit=True) as connection:
        connection.execute(BUNDLED_SCHEMA_SQL)
    app = Absurd(options.database)
    app.create_queue("default")
    app.register_task("journey")(lambda params, context: None)
    for number in range(1, options.contacts + 1):
        app.spawn("journey", {"contact": number})
    app.close()


def work(number, ready) -> None:
    app = Absurd(options.database)
    database = psycopg.connect(options.database, autocommit=True)

    @app.register_task("journey")
    def journey(params, context):
        contact = params["contact"]
        context.step("mark", lambda: database.execute(MARK, [contact]) and None)
        if context.step("decide", lambda: is_wanted(database.execute(READ, [contact]).fetchone()[0])):
            context.step("record", lambda: database.execute(RECORD, [contact]) and None)

    ready()
    while True:
        app.work_batch(worker_id=str(number), batch_size=BATCH)


prepare(options.database, options.contacts)
enqueue()
race(options, work, package="absurd-sdk", workers=f"{options.workers} processes, claims of {BATCH}",
     durability="a commit for each step and one for its checkpoint")  # fmt: skip
