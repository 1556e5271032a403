"""Dropped queries: `NAME.sql.yaml` names a connection and a query. Ingest, the planning step and commands call it."""

from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from assay.errors import DatasetError, SuiteError
from assay.field_problems import field_sentence
from assay.registry import did_you_mean
from assay.sources.sql import Query
from assay.suite.datasets import DatasetSettings
from assay.suite.strict import Strict
from assay.suite.yaml_text import read_yaml

ENDINGS = (".sql.yaml", ".sql.yml")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class QueryFile(Strict):
    """The file as dropped."""

    connection: Text
    query: Text
    parameters: dict[str, str | bool | int | float | date | None] = Field(default_factory=dict)


def is_query(file: str) -> bool:
    """Whether the name says that the file holds a query."""
    return file.lower().endswith(ENDINGS)


def read_query(content: bytes, file: str, dataset: DatasetSettings) -> Query:
    """The query of a dropped file. Raises DatasetError when it cannot be read, or its connection is not the suite's."""
    try:
        source, tree = read_yaml(content.decode("utf-8-sig"), file)
        written = QueryFile.model_validate(tree)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: not valid UTF-8 at byte {error.start + 1}") from None
    except SuiteError as error:
        raise DatasetError(str(error)) from None
    except ValidationError as error:
        raise DatasetError(f"{file}: {_complaints(error)}") from None
    if written.connection not in dataset.connections:
        known = ", ".join(dataset.connections) or "none"
        hint = did_you_mean(written.connection, dataset.connections)
        raise DatasetError(
            f"{file}:{source.line(('connection',))}: the suite lets nobody use connection '{written.connection}'{hint};"
            f" dataset.connections has: {known}"
        )
    return Query(file, written.connection, written.query, written.parameters)


def _complaints(error: ValidationError) -> str:
    expected = "expected 'connection', 'query' and, if it has any, 'parameters'"
    found = "; ".join(field_sentence(one, "the file") for one in error.errors()[:5])
    return f"{found}. {expected.capitalize()}"
