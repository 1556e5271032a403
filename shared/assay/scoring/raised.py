"""What a plugin raised, in words for reports: the error, and where in the plugin's own code. Scoring calls it."""

from pathlib import Path
from traceback import walk_tb

_OURS = Path(__file__).resolve().parents[1]
_MOST_SAID = 1_000

PLUGIN_ERRORS = (Exception, SystemExit)
"""What the code of others may raise without ending more than itself: `sys.exit` in a library is one of its errors."""


def told(error: BaseException) -> str:
    """`ValueError: no label (my_scorers.py:12)`; the place is the first line outside of Assay, and absent without one.

    Never raises; a long text is cut, and what UTF-8 cannot hold is a question mark.
    """
    places = ((Path(frame.f_code.co_filename), line) for frame, line in walk_tb(error.__traceback__))
    outside = next((f" ({file.name}:{line})" for file, line in places if _OURS not in file.parents), "")
    return f"{_said(error)}{outside}"


def _said(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"[:_MOST_SAID]
    except Exception:  # of an error that cannot say what it is
        text = type(error).__name__
    return text.encode("utf-8", "replace").decode()
