"""The key `images` of a criterion: pictures that the model sees beside the user prompt."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, field_validator

from assay.storage import layout
from assay.suite.strict import Strict

_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
OWN_CONTAINERS = (
    *(layout.INBOX, layout.SUITES, layout.RUNS, layout.QUARANTINE, layout.BUNDLES, layout.QUOTA),
    *(layout.AUDIT, layout.CACHE),
)
"""What Assay keeps of all suites is no suite's to show to a model."""


class ImageSettings(Strict):
    """One image. In the suite file a template alone stands for one from the web."""

    url: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="A template that gives https://... or blob://container/name, or nothing where a row has no image"
    )
    containers: tuple[str, ...] = Field((), description="Containers that blob:// may name")
    detail: Literal["auto", "low", "high"] = Field("auto", description="How closely the model looks")
    tokens: int | None = Field(
        None, ge=1, le=100_000, strict=True, description="What it counts as in estimates; absent: as GPT-4o counts"
    )

    @field_validator("containers")
    @classmethod
    def _named_and_not_ours(cls, containers: tuple[str, ...]) -> tuple[str, ...]:
        for name in containers:
            if not _CONTAINER.fullmatch(name):
                raise ValueError(f"{name!r} is no container; expected 3 to 63 lower-case letters, digits and dashes")
            if name in OWN_CONTAINERS:
                raise ValueError(f"'{name}' is one of Assay's own containers; put images into one of yours")
        return containers


def _listed(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return tuple({"url": one} if isinstance(one, str) else one for one in value)


Images = Annotated[
    tuple[ImageSettings, ...],
    BeforeValidator(_listed),
    Field(max_length=10),
    WithJsonSchema(
        {
            "type": "array",
            "maxItems": 10,
            "items": {"anyOf": [{"type": "string", "minLength": 1}, ImageSettings.model_json_schema()]},
        }
    ),
]
"""At most ten, each a template or a mapping."""
