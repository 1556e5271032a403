"""What a queue message says, whoever wrote it: we and most SDKs send Base64, others plain text."""

import base64

MOST_WRAPPINGS = 2


def plain_text(body: str) -> str:
    """The text of a message, out of Base64 where it is in it, also twice; any other text comes back as it is."""
    for _ in range(MOST_WRAPPINGS):
        if body.lstrip().startswith(("{", "[")):
            break
        try:
            body = base64.b64decode(body, validate=True).decode()
        except ValueError:
            break
    return body
