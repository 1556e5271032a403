"""Functions and classes that a suite or a setting names as `package.module:name`."""

import re
from importlib import import_module
from typing import Any

from assay.errors import UserError

REFERENCE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
"""What such a name looks like."""


class BadReference(UserError):
    """Nothing could be imported by that name; the text says why."""


def imported(reference: str) -> Any:
    """The object of that name; its module is imported where it has not been. Raises BadReference."""
    if not re.fullmatch(REFERENCE, reference):
        raise BadReference(f"'{reference}': expected package.module:name")
    module, _, name = reference.partition(":")
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise BadReference(f"'{reference}': cannot import {module}: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise BadReference(f"'{reference}': {module} has no '{name}'")
        found = getattr(found, part)
    return found


def imported_callable(reference: str) -> Any:
    """The same of what can be called. Raises BadReference."""
    found = imported(reference)
    if not callable(found):
        raise BadReference(f"'{reference}': expected a function or a class; found {type(found).__name__}")
    return found
