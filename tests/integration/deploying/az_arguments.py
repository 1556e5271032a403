"""Has the real Azure CLI parse commands, and run none: `az`'s own Python runs this file, for `test_real_azure_cli.py`.

Reads lists of words as JSON from standard input; prints, as JSON, what the CLI complains of for each, or null.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import NoReturn

from azure.cli.core import get_default_cli
from knack.events import EVENT_INVOKER_POST_PARSE_ARGS


class Parsed(BaseException):
    """The command line was taken, and is about to be carried out."""


def stop(*_: object, **__: object) -> NoReturn:
    """Called by the CLI once it has parsed."""
    raise Parsed


def complaint_of(words: list[str]) -> str | None:
    """What the CLI says of a command that it does not take."""
    cli = get_default_cli()
    cli.register_event(EVENT_INVOKER_POST_PARSE_ARGS, stop)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            cli.invoke(words)
    except Parsed:
        return None
    except SystemExit:
        pass
    return said.getvalue() or "refused"


if __name__ == "__main__":
    answers = [complaint_of(words) for words in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers))
