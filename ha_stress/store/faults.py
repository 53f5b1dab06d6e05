"""Foreign exceptions of SQLAlchemy and its drivers, mapped into our tree. The only place that does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ha_stress.base.errors import StoreUnavailable


@contextmanager
def mapped() -> Iterator[None]:
    """Run database code; every failure of the database or its driver comes out as StoreUnavailable.

    A refused statement (disk full, read-only standby, damaged file) is "unavailable" as well: the caller can only try
    again.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(f"the database does not answer: {_sentence(error)}") from error
    except PoolTimeout as error:
        raise StoreUnavailable("the database does not answer: all connections are busy") from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database refused a statement: {_sentence(error)}") from error


def _sentence(error: SQLAlchemyError) -> str:
    """The driver's own words, one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
