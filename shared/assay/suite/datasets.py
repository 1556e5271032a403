"""The section `dataset` of a suite: how a dropped file is written, and what is expected of its columns and rows."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, StringConstraints, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from assay.suite.levels import Level
from assay.suite.strict import Strict

ColumnName = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Scalar = str | bool | int | float
Encoding = Literal["utf-8", "utf-16", "cp1252"]
ColumnType = Literal["text", "integer", "number", "boolean", "date", "json"]
Path = tuple[str | int, ...]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _also_one(described: dict[str, Any]) -> None:
    """Tells editors that one name needs no list."""
    names = {"type": described.pop("type"), "items": described.pop("items")}
    described["anyOf"] = [{"type": "string", "minLength": 1}, names]


class Column(Strict):
    """A column that must be there. In the suite file a name alone stands for one without further wishes."""

    name: ColumnName = Field(description="The column's name in prompts and scorers")
    taken_from: Annotated[tuple[ColumnName, ...], BeforeValidator(_listed)] = Field(
        (),
        alias="from",
        json_schema_extra=_also_one,
        description="Names that the column may have in the file; the first that is there counts. Absent: its own name",
    )
    type: ColumnType | None = Field(None, description="What values become; absent: as the file has them")
    default: Scalar | None = Field(None, description="Stands where the column or its value is missing")
    values: tuple[Scalar, ...] = Field((), description="The only values that are accepted")
    nulls: Literal["keep", "refuse"] = Field("keep", description="Whether a row may have no value here")

    @field_validator("taken_from", "values")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({(type(one) is bool, one) for one in value}) != len(value):
            raise ValueError("expected everything once")
        return value

    @property
    def names_in_file(self) -> tuple[str, ...]:
        """The names under which the file may have the column, in order of preference."""
        return self.taken_from or (self.name,)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler.resolve_ref_schema(handler(schema))
        return {
            "anyOf": [{"type": "string", "minLength": 1}, described],
            "description": described.get("description", ""),
        }


class FormatSettings(Strict):
    """How a dropped file is written; what its kind of file does not have is not looked at."""

    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="What separates the columns of text; absent: by the file's ending"
    )
    encoding: Encoding = Field("utf-8", description="The encoding of text; UTF-8 with or without byte order mark")
    header: bool | tuple[ColumnName, ...] = Field(
        True, description="Whether the first line names the columns, or the names themselves when no line does"
    )
    skip_lines: int = Field(0, ge=0, le=10_000, strict=True, description="Lines before the header")
    sheet: str | None = Field(None, min_length=1, description="Sheet of an Excel workbook; absent: the only filled one")

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, value: str | None) -> str | None:
        if value is not None and (value in '"\r\n\x00 ' or value.isalnum()):
            raise ValueError("expected a sign such as ';', '|' or \"\\t\"")
        return value


class DatasetSettings(Strict):
    """What is expected of a dataset dropped for the suite."""

    id: str | None = Field(None, description="Column that holds a unique id; absent: ids derive from the row's content")
    columns: tuple[Column, ...] = Field((), description="Columns that must be there")
    other_columns: Literal["keep", "drop", "refuse"] = Field(
        "keep", description="What becomes of columns that are not listed in `columns`"
    )
    null_values: tuple[str, ...] = Field((), description="Texts that mean that there is no value, such as NA")
    max_bad_rows: int | str = Field(
        "10%",
        description="How many rows may be set aside before the run refuses to start: a count, or 'N%' of all rows",
    )
    format: FormatSettings = Field(FormatSettings(), description="How the file is written")
    level: Level = Field("internal", description="How far the rows, and all that is made of them, may go")
    connections: tuple[str, ...] = Field(
        (), description="Connections of ASSAY_CONNECTIONS that dropped queries (.sql.yaml) may use"
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _names_or_rules(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple({"name": one} if isinstance(one, str) else one for one in value)

    @field_validator("max_bad_rows", mode="before")
    @classmethod
    def _count_or_share(cls, value: Any) -> int | str:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        if isinstance(value, str) and re.fullmatch(r"(\d{1,2}|100)%", value, re.ASCII):
            return value
        raise ValueError("expected a count such as 3, or a share from '0%' to '100%'")

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that must be there, as prompts and scorers call them."""
        return tuple(column.name for column in self.columns)

    def tolerates(self, bad_rows: int, all_rows: int) -> bool:
        """Whether a run may start with so many bad rows."""
        if isinstance(self.max_bad_rows, int):
            return bad_rows <= self.max_bad_rows
        return bad_rows * 100 <= all_rows * int(self.max_bad_rows.removesuffix("%"))


def dataset_complaints(dataset: DatasetSettings) -> Iterator[tuple[Path, str]]:
    """What contradicts itself in the section, each with its path in the suite."""
    seen: set[str] = set()
    takers: dict[str, str] = {}
    for index, column in enumerate(dataset.columns):
        path: Path = ("dataset", "columns", index)
        if column.name in seen:
            yield path, f"column '{column.name}' stands twice"
        seen.add(column.name)
        yield from _taken_twice(column, path, takers)
        yield from _default_complaints(column, path)
    if dataset.id and dataset.other_columns != "keep" and dataset.id not in seen:
        yield (
            ("dataset", "id"),
            f"dataset.columns has no '{dataset.id}', and other columns are not kept; add it there",
        )


def _taken_twice(column: Column, path: Path, takers: dict[str, str]) -> Iterator[tuple[Path, str]]:
    for name in column.names_in_file:
        if takers.setdefault(name, column.name) != column.name:
            yield path, f"columns '{takers[name]}' and '{column.name}' would both be taken from '{name}'"


def _default_complaints(column: Column, path: Path) -> Iterator[tuple[Path, str]]:
    default = column.default
    if default is None:
        return
    if column.nulls == "refuse":
        yield path, f"column '{column.name}' has a default, so no row can lack a value; take 'nulls: refuse' away"
    if column.values and not any(
        default == one and (type(default) is bool) == (type(one) is bool) for one in column.values
    ):
        yield path, f"the default of column '{column.name}' is not one of its values"
    expected: Mapping[str, tuple[type, ...]] = {
        "text": (str,),
        "date": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    fits = isinstance(default, expected.get(column.type or "", (object,)))
    if not fits or (isinstance(default, bool) and column.type in ("integer", "number")):
        yield path, f"the default of column '{column.name}' is not of the type '{column.type}'"
