"""Tables of the answers: SQLite in a file, or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emotalker.core.errors import DataError, MissingExtraError

try:
    import sqlalchemy as sql
    from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError
    from sqlalchemy.pool import NullPool
except ImportError as error:
    raise MissingExtraError("a user study needs SQLAlchemy: pip install 'emotalker[study]'") from error

if TYPE_CHECKING:
    from sqlalchemy import Connection

METADATA = sql.MetaData()
#: One row: what the answers of this database belong to. ``secret`` signs forms and names videos.
STUDY = sql.Table(
    "study",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("fingerprint", sql.String(64), nullable=False),
    sql.Column("secret", sql.String(64), nullable=False),
)
#: ``token`` is the SHA-256 of the cookie, ``number`` counts raters from 0. Times are seconds since 1970.
RATER = sql.Table(
    "rater",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("token", sql.String(64), nullable=False, unique=True),
    sql.Column("number", sql.Integer, nullable=False, unique=True),
    sql.Column("consented", sql.Float, nullable=False),
    sql.Column("rejected", sql.Float),
    sql.Column("finished", sql.Float),
    sql.Column("code", sql.String(16), unique=True),
)
#: One place of a rater: of an item (``slot`` counts its raters), or an attention check (``slot`` is the rater's number).
#: ``shown`` is the item whose videos are shown. ``videos`` is a JSON list, left first: systems, or for a gold check
#: ``better`` and ``worse``. ``expected`` is the place of the right answer of a check.
TASK = sql.Table(
    "task",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("kind", sql.String(10), nullable=False),
    sql.Column("item", sql.String(255), nullable=False),
    sql.Column("slot", sql.Integer, nullable=False),
    sql.Column("shown", sql.String(255), nullable=False),
    sql.Column("videos", sql.Text, nullable=False),
    sql.Column("expected", sql.Integer),
    sql.Column("rater", sql.ForeignKey("rater.id")),
    sql.Column("assigned", sql.Float),
    sql.Column("answered", sql.Float),
    sql.UniqueConstraint("kind", "item", "slot"),
    sql.UniqueConstraint("kind", "item", "rater"),
    sql.CheckConstraint("answered IS NULL OR rater IS NOT NULL"),
)
#: ``place`` is what was clicked, 0 for the left video; ``video`` what was shown there.
ANSWER = sql.Table(
    "answer",
    METADATA,
    sql.Column("task", sql.ForeignKey("task.id"), primary_key=True),
    sql.Column("criterion", sql.String(255), primary_key=True),
    sql.Column("place", sql.Integer, nullable=False),
    sql.Column("video", sql.String(255), nullable=False),
)


class Database:
    """Transactions on the study's tables, which are made where they are missing.

    Transactions that write run one after another, in SQLite by BEGIN IMMEDIATE and in PostgreSQL by a lock on the row of
    ``study``. What has been committed survives the end of the process and of the machine (write-ahead log, synced).

    Args:
        address: file of SQLite, or a URL of SQLAlchemy such as ``postgresql://user@host/name``.
        create: whether to make a missing file and missing tables.

    Raises:
        DataError: the database cannot be opened.
        MissingExtraError: the driver of the URL is not installed.
    """

    def __init__(self, address: str, create: bool = True):
        self.address = address
        if address.startswith("postgresql://"):
            address = address.replace("://", "+psycopg://", 1)
        if "://" not in address:
            if not create and not Path(address).is_file():
                raise DataError(f"{address}, the file of the answers, does not exist; name the one given to serve")
            try:
                Path(address).absolute().parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"cannot make the folder of {address}: {error.strerror}; choose a writable one") from error
            address = f"sqlite:///{address}"
        try:
            options = {"poolclass": NullPool} if address.startswith("sqlite") else {"pool_pre_ping": True}
            self.engine = sql.create_engine(address, **options)
        except ImportError as error:
            raise MissingExtraError(
                f"this kind of database needs {error.name}; for PostgreSQL: pip install 'emotalker[study]'"
            ) from error
        except SQLAlchemyError as error:
            raise DataError(f"{self.address} is no file and no database URL: {error}") from error
        self.sqlite = self.engine.dialect.name == "sqlite"
        if self.sqlite:
            sql.event.listen(self.engine, "connect", _configure_sqlite)
            sql.event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        try:
            with self.engine.begin() as connection:
                if create:
                    self.lock_all(connection)  # two servers that start together make the tables once
                    METADATA.create_all(connection)
                elif not sql.inspect(connection).has_table(STUDY.name):
                    raise DataError(f"{self.address} has no answers of a study; name the database given to serve")
        except (DatabaseError, OperationalError) as error:
            raise DataError(f"cannot open the database {self.engine.url!r}: {error.orig}") from error

    def lock_all(self, connection: Connection) -> None:
        """Let other servers that start wait until this transaction ends; in SQLite they do anyway."""
        if not self.sqlite:
            connection.execute(sql.text("SELECT pg_advisory_xact_lock(58)"))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that no other writer runs beside; committed at the end, or rolled back when the block raises."""
        with self.engine.begin() as connection:
            if not self.sqlite:
                connection.execute(sql.select(STUDY.c.id).with_for_update())
            yield connection


def _configure_sqlite(connection, _record) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
