"""The key `schema` of a criterion: a JSON Schema as it is, or a short list of fields that becomes one."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from assay.field_problems import field_expectation, field_path
from assay.suite.strict import Strict

FieldType = Literal["text", "integer", "number", "boolean"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
Scalar = str | bool | int | float

_JSON_TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_OF_NUMBERS = ("integer", "number")


class AnswerField(Strict):
    """One field of an answer. In the suite file a name alone stands for a text."""

    name: str = Field(description="The field's name in the answer: letters, digits, dashes and underscores")
    type: FieldType = Field("text", description="What its value is")
    description: str | None = Field(None, min_length=1, description="What the model is told about it")
    values: tuple[Scalar, ...] = Field((), description="The only values it may have")
    minimum: float | None = Field(None, description="The smallest number it may be")
    maximum: float | None = Field(None, description="The largest number it may be")
    many: bool = Field(False, description="Whether its value is a list of such values")
    optional: bool = Field(False, description="Whether it may be null")

    @model_validator(mode="after")
    def _fits_its_type(self) -> "AnswerField":
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no field's name; expected up to 64 letters, digits, - and _")
        if (self.minimum is not None or self.maximum is not None) and self.type not in _OF_NUMBERS:
            raise ValueError(f"'{self.name}' is of the type '{self.type}'; only numbers have a minimum or a maximum")
        wrong = [one for one in self.values if not _is_a(one, self.type)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} of 'values' of '{self.name}' is not of the type '{self.type}'")
        return self

    def schema_of_value(self) -> dict[str, Any]:
        """The JSON Schema of the field's value."""
        kind = _JSON_TYPES[self.type]
        schema: dict[str, Any] = {"type": kind}
        if self.values:
            schema["enum"] = list(self.values)
        schema |= {name: bound for name in ("minimum", "maximum") if (bound := getattr(self, name)) is not None}
        if self.many:
            schema = {"type": "array", "items": schema}
        if self.optional:
            schema = {"anyOf": [schema, {"type": "null"}]}
        return schema | ({"description": self.description} if self.description else {})


def _is_a(value: Scalar, kind: FieldType) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    return isinstance(value, {"text": str, "integer": int, "number": int | float}[kind])


def _as_json_schema(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return _only_json(value)
    fields = [_field(at, one) for at, one in enumerate(value, start=1)]
    names = [one.name for one in fields]
    if not names:
        raise ValueError("expected at least one field")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"field '{twice}' stands twice")
    return {
        "type": "object",
        "properties": {one.name: one.schema_of_value() for one in fields},
        "required": names,
        "additionalProperties": False,
    }


def _only_json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a JSON Schema holds only what JSON can: {error}; put dates in quotes") from None
    return value


def _field(at: int, written: Any) -> AnswerField:
    try:
        return AnswerField.model_validate({"name": written} if isinstance(written, str) else written)
    except ValidationError as error:
        detail = error.errors()[0]
        key, said = field_path(detail), field_expectation(detail)
        if detail["type"] == "extra_forbidden":
            said = f"unknown key; known here: {', '.join(AnswerField.model_fields)}"
        raise ValueError(f"field {at}: {f'{key}: ' if key else ''}{said}") from None


AnswerSchema = Annotated[
    dict[str, Any],
    BeforeValidator(_as_json_schema),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "description": "A JSON Schema as structured outputs take it"},
                {
                    "type": "array",
                    "minItems": 1,
                    "description": "Fields of the answer",
                    "items": {"anyOf": [{"type": "string"}, AnswerField.model_json_schema()]},
                },
            ]
        }
    ),
]
"""Holds a JSON Schema, whichever way it is written."""
