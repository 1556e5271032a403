"""The base of all models of the suite file."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of all suite models: frozen, an unknown key is an error, and numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)
