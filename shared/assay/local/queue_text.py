"""How message bodies travel: base64 or plain, as `extensions.queues.messageEncoding` says."""

import base64
import binascii
from typing import Literal

from assay.errors import MessageRefused

Encoding = Literal["base64", "none"]


def encode_body(body: str | bytes, encoding: Encoding) -> str:
    """The text of a queue message that carries `body`."""
    raw = body.encode() if isinstance(body, str) else body
    return base64.b64encode(raw).decode("ascii") if encoding == "base64" else raw.decode()


def decode_body(text: str, encoding: Encoding) -> str | bytes:
    """The body of a queue message: text, or bytes if it is not UTF-8. Raises MessageRefused if it is not base64."""
    if encoding == "none":
        return text
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageRefused(f"The message is not base64, as host.json expects: {error}.") from error
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
