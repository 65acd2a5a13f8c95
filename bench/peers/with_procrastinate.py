# mypy: ignore-errors
"""Procrastinate: three tasks, each defers the next; one worker with ten at a time."""

import asyncio

import procrastinate
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, report
from psycopg_pool import AsyncConnectionPool

options = arguments()
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=options.database, max_size=12))
pool = AsyncConnectionPool(options.database, min_size=10, max_size=10, kwargs={"autocommit": True}, open=False)


@app.task(name="mark")
async def mark(contact: int) -> None:
    async with pool.connection() as connection:
        await connection.execute(MARK, [contact])
    await decide.defer_async(contact=contact)


@app.task(name="decide")
async def decide(contact: int) -> None:
    async with pool.connection() as connection:
        row = await (await connection.execute(READ, [contact])).fetchone()
    if is_wanted(row[0]):
        await record.defer_async(contact=contact)


@app.task(name="record")
async def record(contact: int) -> None:
    async with pool.connection() as connection:
        await connection.execute(RECORD, [contact])


async def enqueue() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await mark.batch_defer_async(*({"contact": number} for number in range(1, options.contacts + 1)))


async def drain() -> None:
    async with app.open_async(), pool:
        await app.run_worker_async(wait=False, concurrency=10, install_signal_handlers=False, listen_notify=False)


prepare(options.database, options.contacts)
asyncio.run(enqueue())
report(options.database, options.contacts, "procrastinate", lambda: asyncio.run(drain()), workers="1 × 10 at a time")
