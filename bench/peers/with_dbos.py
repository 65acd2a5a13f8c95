# mypy: ignore-errors
"""DBOS Transact: one workflow with three steps, whose results are rows.

Tuned: two processes, in each four threads that start workflows; its queues are slower than starting them directly.
"""

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

from dbos import DBOS
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, race
from psycopg_pool import ConnectionPool

THREADS = 4
options = arguments()
_pools = []


def execute(statement: str, contact: int):
    with _pools[0].connection() as connection:
        cursor = connection.execute(statement, [contact])
        return cursor.fetchone() if cursor.description else None


@DBOS.step()
def mark(contact: int) -> None:
    execute(MARK, contact)


@DBOS.step()
def decide(contact: int) -> bool:
    return is_wanted(execute(READ, contact)[0])


@DBOS.step()
def record(contact: int) -> None:
    execute(RECORD, contact)


@DBOS.workflow()
def journey(contact: int) -> None:
    mark(contact)
    if decide(contact):
        record(contact)


def launch(executor: str) -> None:
    url = options.database.replace("postgres://", "postgresql://")
    DBOS(config={"name": "bench", "system_database_url": url, "executor_id": executor, "log_level": "ERROR",
                 "run_admin_server": False})  # fmt: skip
    DBOS.launch()


def work(number, ready) -> None:
    launch(f"worker-{number}")
    _pools.append(ConnectionPool(options.database, min_size=THREADS, kwargs={"autocommit": True}, open=True))
    _pools[0].wait()
    ready()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(journey, range(1 + number, options.contacts + 1, options.workers)))


prepare(options.database, options.contacts)
# One process makes the tables, and ends before there are others: threads do not survive a fork.
first = get_context("fork").Process(target=launch, args=("first",))
first.start()
first.join(60)
if first.is_alive():
    first.kill()
race(options, work, package="dbos", workers=f"{options.workers} processes × {THREADS} threads",
     durability="a commit for each step and one for its result")  # fmt: skip
