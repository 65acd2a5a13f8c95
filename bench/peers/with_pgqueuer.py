# mypy: ignore-errors
"""PgQueuer: three jobs, each enqueues the next.

Tuned: two processes, each with batches of 50 (10 is the default), a pool of 10 connections, and no pause between looks.
"""

import asyncio
from datetime import timedelta

import asyncpg
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, race
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

BATCH = 50
options = arguments()


def numbered(statement: str) -> str:
    return statement.replace("%s", "$1")


async def enqueue() -> None:
    async with asyncpg.create_pool(options.database) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()
        numbers = [str(number).encode() for number in range(1, options.contacts + 1)]
        await queries.enqueue(["mark"] * len(numbers), numbers, [0] * len(numbers))


async def drain(ready) -> None:
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

        ready()
        await pgq.run(batch_size=BATCH, dequeue_timeout=timedelta(milliseconds=20))


prepare(options.database, options.contacts)
asyncio.run(enqueue())
race(options, lambda number, ready: asyncio.run(drain(ready)), package="pgqueuer",
     workers=f"{options.workers} processes, batches of {BATCH}",
     durability="a commit for each step and its successor; ends of jobs in groups")  # fmt: skip
