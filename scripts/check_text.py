"""Checks and, with --fix, repairs the plain form of text files: last line ended, no spaces at line ends, LF only.

`make lint` calls it for every file git knows, the pre-commit hook for the files of a commit.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

_CONFLICT = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)
_LARGEST_BYTES = 1_000_000
_GENERATED = (".lock", "package-lock.json")
_FIXTURES = Path("tests/fixtures")  # they mean what they say, line ends included


def main() -> int:
    """Check the named files, or all tracked ones; returns 1 when something is wrong or was repaired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true", help="repair what can be repaired")
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    files = [path for path in arguments.files or tracked_files() if is_checked(path)]
    found = [(path, problem) for path in files for problem in problems(path)]
    for path, problem in found:
        print(f"{path}: {problem}")
    if arguments.fix:
        for path in {path for path, _ in found}:
            repair(path)
    return 1 if found else 0


def is_checked(path: Path) -> bool:
    """Say whether a file is a real one and no fixture."""
    return path.is_file() and not path.is_symlink() and not path.is_relative_to(_FIXTURES)


def tracked_files() -> list[Path]:
    """Return every file that git tracks, or none outside a git checkout."""
    command = ["git", "ls-files", "-z"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return []
    return [Path(name) for name in answer.split("\0") if name]


def problems(path: Path) -> list[str]:
    """Return what is wrong with one file; binary files are only measured."""
    content = path.read_bytes()
    if b"\0" in content[:8192]:
        return [f"is larger than {_LARGEST_BYTES:,} bytes"] if len(content) > _LARGEST_BYTES else []
    checks = {
        f"is larger than {_LARGEST_BYTES:,} bytes": len(content) > _LARGEST_BYTES
        and not path.name.endswith(_GENERATED),
        "has a merge conflict marker": _CONFLICT.search(content) is not None,
        "does not end in one newline, or has spaces at line ends or CRLF": content != tidy(content),
    }
    return [problem for problem, is_wrong in checks.items() if is_wrong]


def tidy(content: bytes) -> bytes:
    """Return text with LF line ends, no spaces at line ends and one newline at the end; empty stays empty."""
    lines = [line.rstrip(b" \t\r") for line in content.split(b"\n")]
    body = b"\n".join(lines).rstrip(b"\n")
    return body + b"\n" if body else b""


def repair(path: Path) -> None:
    """Write the tidy form of one text file."""
    content = path.read_bytes()
    if b"\0" not in content[:8192] and content != tidy(content):
        path.write_bytes(tidy(content))


if __name__ == "__main__":
    sys.exit(main())
