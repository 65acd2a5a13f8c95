# mypy: ignore-errors
"""Procrastinate: three tasks, each defers the next; or one task for each mail.

Tuned: two processes, each ten tasks at a time with a pool for them; finished jobs are kept, as by default. Mail leaves
over one connection for each process, which stays open (by default there would be one for each message).
"""

import asyncio

import procrastinate
from job import MARK, READ, RECORD, SENDER, SUBJECT, TEXT, arguments, is_wanted, prepare, race
from psycopg_pool import AsyncConnectionPool

options = arguments()
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=options.database, max_size=12))
pool = AsyncConnectionPool(options.database, min_size=10, max_size=10, kwargs={"autocommit": True}, open=False)
_mailers = []


async def execute(statement: str, contact: int):
    async with pool.connection() as connection:
        cursor = await connection.execute(statement, [contact])
        return await cursor.fetchone() if cursor.description else None


@app.task(name="mark")
async def mark(contact: int) -> None:
    await execute(MARK, contact)
    await decide.defer_async(contact=contact)


@app.task(name="decide")
async def decide(contact: int) -> None:
    if is_wanted((await execute(READ, contact))[0]):
        await record.defer_async(contact=contact)


@app.task(name="record")
async def record(contact: int) -> None:
    await execute(RECORD, contact)


@app.task(name="letter")
async def letter(contact: int) -> None:
    name = (await execute(READ, contact))[0]
    await asyncio.to_thread(send, name, f"c{contact}@x.example")
    await execute(RECORD, contact)


def send(name: str, to: str) -> None:
    from django.core.mail import EmailMessage

    # A connection of Django holds a lock while it sends, so threads may share it.
    EmailMessage(SUBJECT.format(name=name), TEXT.format(name=name), SENDER, [to], connection=_mailers[0]).send()


def open_mail() -> None:
    from django.conf import settings
    from django.core.mail import get_connection

    host, port = options.smtp.split(":")
    settings.configure(EMAIL_HOST=host, EMAIL_PORT=int(port))
    _mailers.append(get_connection())
    _mailers[0].open()


async def enqueue() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        first = letter if options.smtp else mark
        await first.batch_defer_async(*({"contact": number} for number in range(1, options.contacts + 1)))


async def drain(ready) -> None:
    if options.smtp:
        open_mail()
    async with app.open_async(), pool:
        ready()
        await app.run_worker_async(concurrency=10, install_signal_handlers=False, fetch_job_polling_interval=0.05)


prepare(options.database, options.contacts)
asyncio.run(enqueue())
race(options, lambda number, ready: asyncio.run(drain(ready)), package="procrastinate",
     workers=f"{options.workers} processes, 10 at a time",
     durability="a commit to fetch each task, for its work, for its successor and for its end")  # fmt: skip
