# mypy: ignore-errors
"""DBOS Transact: one workflow with three steps; eight threads start workflows."""

from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS
from job import MARK, READ, RECORD, arguments, is_wanted, prepare, report
from psycopg_pool import ConnectionPool

options = arguments()
pool = ConnectionPool(options.database, min_size=8, max_size=8, kwargs={"autocommit": True}, open=True)


@DBOS.step()
def mark(contact: int) -> None:
    with pool.connection() as connection:
        connection.execute(MARK, [contact])


@DBOS.step()
def decide(contact: int) -> bool:
    with pool.connection() as connection:
        return is_wanted(connection.execute(READ, [contact]).fetchone()[0])


@DBOS.step()
def record(contact: int) -> None:
    with pool.connection() as connection:
        connection.execute(RECORD, [contact])


@DBOS.workflow()
def journey(contact: int) -> None:
    mark(contact)
    if decide(contact):
        record(contact)


def work() -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(journey, range(1, options.contacts + 1)))


prepare(options.database, options.contacts)
url = options.database.replace("postgres://", "postgresql://")
DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
DBOS.launch()
report(options.database, options.contacts, "dbos", work, workers="8 threads")
DBOS.destroy()
pool.close()
