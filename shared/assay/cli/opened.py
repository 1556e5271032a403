"""Opens suites as commands do: with this environment, and with the code that the settings name."""

import os
from pathlib import Path

from assay.orchestration.drops import open_suite, upload_suite
from assay.settings import Settings
from assay.storage.base import Storage
from assay.suite.resolution import ResolvedSuite


def opened(folder: Path, profile: str) -> ResolvedSuite:
    """The suite of a folder, checked. Raises UserError."""
    return open_suite(folder, profile, environment=os.environ, code_folders=_code_folders)


async def uploaded(storage: Storage, folder: Path, profile: str) -> str:
    """Puts the same suite where runs find it, and gives its name. Raises UserError."""
    return await upload_suite(storage, folder, profile, environment=os.environ, code_folders=_code_folders)


def _code_folders() -> tuple[Path, ...]:
    return Settings.load().code_folders
