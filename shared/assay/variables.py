"""How one environment variable is read: checks of its value, and what is shown of a value that is refused.

The modules of settings use it.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

URL_EXPECTED = "an https:// address (http:// only on this machine) without user name and query"

_LONGEST_SHOWN = 80
_CONNECTION_STRING = re.compile(r"(?i)(^|;)\s*(UseDevelopmentStorage=true|AccountName=|BlobEndpoint=)")
_INSIGHTS_STRING = re.compile(r"(?i)(^|;)\s*InstrumentationKey=[0-9a-f-]{36}\s*(;|$)")
_URL = re.compile(r"(https://[^/\s?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?)(/[^\s?#]*)?")


def _checked_url(value: str) -> str:
    # Keys and tokens travel to these addresses: plain http only where it cannot leave the machine.
    if not _URL.fullmatch(value):
        raise ValueError(URL_EXPECTED)
    return value.rstrip("/")


def _with(part: re.Pattern[str]) -> AfterValidator:
    """Refuses a secret in which that is not found."""

    def checked(value: SecretStr) -> SecretStr:
        if not part.search(value.get_secret_value()):
            raise ValueError("something is missing")
        return value

    return AfterValidator(checked)


def from_json(value: Any) -> Any:
    """What JSON text says; anything else is the value itself. Raises ValueError when the text is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, unless it says two things of one name, of which one would be lost silently."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def variable(name: str, expected: str, default: Any = None, **limits: Any) -> Any:
    """A field that is read from the variable `name`; `expected` ends the sentence that refuses a value."""
    return Field(default, validation_alias=name, description=expected, **limits)


def shown(value: object) -> str:
    """The value as a person wrote it; addresses may carry a password or a signature, which stay out."""
    text = re.sub(r"//[^/\s]*@", "//...@", str(value)).partition("?")[0]
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


Url = Annotated[str, AfterValidator(_checked_url)]
ConnectionString = Annotated[SecretStr, _with(_CONNECTION_STRING)]
InsightsString = Annotated[SecretStr, _with(_INSIGHTS_STRING)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda value: str(value).upper())]
