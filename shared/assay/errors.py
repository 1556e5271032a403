"""The error tree. Each class answers one question: may waiting help, must the run stop, or is it the user's to fix.

AssayError
├── UserError            the user's input is wrong; nothing was spent                     exit code 2
│   ├── SuiteError         a suite file: where, what was found, what was expected
│   ├── DatasetError       a dataset file or one of its rows
│   └── NameRefused        a container, suite or file name that is unsafe
├── CheckFailed          a run or a verification ended with "no"                         exit code 1
├── ServiceError         an outside service failed; trying again later may help          exit code 3
│   ├── StorageError
│   │   ├── BlobMissing
│   │   ├── BlobExists
│   │   ├── BlobChanged      another version of the blob is there by now
│   │   ├── LeaseHeld        somebody else holds the lease
│   │   └── LeaseLost        we no longer hold the lease that we wrote under
│   │       └── LeaseBroken    somebody asks for the lease: it can be released, never renewed
│   ├── ModelError         one request without an answer (`llm/base.py`)
│   └── ModelUnavailable   no answer from a model after all attempts
├── RunStopped           nothing more may be asked in this run until a person lets it go on
└── MessageRefused       a queue message that no retry can make readable; it goes to quarantine

Errors that no command shows (of prompts, permits, the local host) are defined where they are raised.
"""

EXIT_OK, EXIT_FAILED, EXIT_USER, EXIT_SERVICE = 0, 1, 2, 3


class AssayError(Exception):
    """Base of everything Assay raises on purpose. `exit_code` is what the command line returns for it."""

    exit_code = EXIT_FAILED


class UserError(AssayError):
    """The user's input is wrong; no retry helps."""

    exit_code = EXIT_USER


class SuiteError(UserError):
    """A suite that cannot be used; the message starts with `file:line:` where the line is known."""


class DatasetError(UserError):
    """A dataset that cannot be used; names file, line, what was found and what was expected."""


class NameRefused(UserError):
    """A name that could leave its folder or cannot be shown safely."""


class CheckFailed(AssayError):
    """A run or a verification ended with "no"."""

    exit_code = EXIT_FAILED


class ServiceError(AssayError):
    """An outside service failed; trying again later may help."""

    exit_code = EXIT_SERVICE


class StorageError(ServiceError):
    """Blob or queue storage answered with an error that is not one of the expected ones below."""


class BlobMissing(StorageError):
    """The blob (or container) is not there."""


class BlobExists(StorageError):
    """Create-if-absent found the blob present."""


class BlobChanged(StorageError):
    """Another version of the blob is there than the one to be replaced."""


class LeaseHeld(StorageError):
    """The blob is leased by somebody else."""


class LeaseLost(StorageError):
    """The lease under which a write was made is not ours any more."""


class LeaseBroken(LeaseLost):
    """Somebody broke the lease: it is ours until it ends or is released, but cannot be renewed."""


class ModelUnavailable(ServiceError):
    """No usable answer from a model after all attempts."""


class RunStopped(AssayError):
    """Nothing more may be asked in this run until a person lets it go on; the message says why, and how."""


class MessageRefused(AssayError):
    """A queue message that no retry can make readable."""
