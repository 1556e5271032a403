"""What can be wrong with a bundle, in words for a person. `files.py` and `verification.py` find it."""

from dataclasses import dataclass
from enum import StrEnum

from assay.provenance.manifest import shown


class Fault(StrEnum):
    """What can be wrong with a file of a bundle."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    WRONG_SIZE = "wrong size"
    WRONG_DIGEST = "wrong digest"
    SIGNATURE_INVALID = "signature invalid"
    WRONG_KEY = "wrong key"
    MALFORMED = "malformed"
    NOT_A_FILE = "not a plain file"
    UNREADABLE = "unreadable"
    UNSAFE_NAME = "unsafe name"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `path` is escaped for a terminal; `message` is a sentence with what was expected."""

    path: str
    fault: Fault
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.fault}: {self.message}"


def finding(path: str, fault: Fault, message: str) -> Finding:
    """A finding about a file of an untrusted name."""
    return Finding(path if path.isprintable() else shown(path), fault, message)
