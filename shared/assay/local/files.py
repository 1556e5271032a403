"""Writes small files in one step, for their owner's eyes only: the local stack's keys, addresses and histories."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write or replace a file. Whoever reads it sees the old text or the new one, never a part of it."""
    draft = path.with_name(f"{path.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
