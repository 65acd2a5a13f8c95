# mypy: ignore-errors
"""PgQueuer: three jobs, each enqueues the next; one worker that drains the queue."""

import asyncio

import asyncpg
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, report
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

options = arguments()


def numbered(statement: str) -> str:
    return statement.replace("%s", "$1")


async def enqueue() -> None:
    async with asyncpg.create_pool(options.database) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()
        numbers = [str(number).encode() for number in range(1, options.contacts + 1)]
        await queries.enqueue(["mark"] * len(numbers), numbers, [0] * len(numbers))


async def drain() -> None:
    async with asyncpg.create_pool(options.database, min_size=10, max_size=10) as pool:
        driver = AsyncpgPoolDriver(pool)
        pgq, queries = PgQueuer(driver), Queries(driver)

        @pgq.entrypoint("mark")
        async def mark(job):
            await pool.execute(numbered(MARK), int(job.payload))
            await queries.enqueue("decide", job.payload, 0)

        @pgq.entrypoint("decide")
        async def decide(job):
            if is_wanted(await pool.fetchval(numbered(READ), int(job.payload))):
                await queries.enqueue("record", job.payload, 0)

        @pgq.entrypoint("record")
        async def record(job):
            await pool.execute(numbered(RECORD), int(job.payload))

        # A drained queue ends the worker, and later steps come one after the other: go on until all are through.
        while await pool.fetchval("SELECT count(*) FROM message") < options.contacts:
            await pgq.run(mode=QueueExecutionMode.drain, batch_size=50)
            pgq.shutdown.clear()


prepare(options.database, options.contacts)
asyncio.run(enqueue())
report(options.database, options.contacts, "pgqueuer", lambda: asyncio.run(drain()), workers="1, batches of 50")
