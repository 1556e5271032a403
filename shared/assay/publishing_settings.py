"""Where results are sent, and by what secret: the settings that `destinations.py` makes sinks of."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_settings import NoDecode

from assay.variables import from_json


class GitHubApp(BaseModel):
    """An app's installation that may write to repositories of results."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    app_id: str
    installation_id: str
    private_key: SecretStr


class WebhookAddress(BaseModel):
    """Where to send, which may be a secret by itself, and what signs it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr
    secret: SecretStr | None = None


Connections = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(from_json)]
Webhooks = Annotated[dict[str, WebhookAddress], NoDecode, BeforeValidator(from_json)]
