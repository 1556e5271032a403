"""Databases by address, through SQLAlchemy, which is loaded here only. The SQL source and the SQL sink open them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assay.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_SHOWN_CHARACTERS = 500


@contextmanager
def opened(url: str, connection: str, needs: str) -> Iterator["Engine"]:
    """An engine that keeps no connections. `needs` begins the sentence that names a missing package.

    Raises UserError when SQLAlchemy or the driver is not installed, or the address of the connection is none; the
    address itself, which may hold a password, is never shown.
    """
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError
        from sqlalchemy.pool import NullPool
    except ModuleNotFoundError as error:
        raise UserError(f"{needs} the package 'sqlalchemy': install assay-batch[sql]") from error
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise UserError(f"connection '{connection}' needs the package '{error.name}'; install it") from error
    except (ArgumentError, ValueError):  # without its cause, which may show the address with its password
        raise UserError(
            f"connection '{connection}' is no database address; expected one such as"
            " postgresql+psycopg://user:password@host/database"
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()


def said(error: Exception) -> str:
    """What the driver said, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:_SHOWN_CHARACTERS]
