"""Refuses a Python that is too old, then prepares .venv and Azurite; `make setup` calls it.

Kept free of newer syntax, so that an old Python prints the sentence below and not a SyntaxError.
"""

import sys

OLDEST_PYTHON = (3, 11)


def main() -> int:
    """Set up the project; returns the exit code."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:3])
        print(
            f"Set-up stopped: Assay needs Python 3.11 or newer, and {sys.executable} is {found}. "
            "Name a newer one: make PYTHON=python3.12 setup",
            file=sys.stderr,
        )
        return 1
    import environment

    return environment.main()


if __name__ == "__main__":
    sys.exit(main())
