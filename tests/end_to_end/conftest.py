"""One site for all tests that do not break it, and child processes that nobody measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .site import Site, running_site
from .small_suite import write_emulator, write_suite

ROWS = 60


@pytest.fixture(scope="package", autouse=True)
def _no_coverage_of_children() -> Iterator[None]:
    """Branch coverage costs child processes half of their time again, and what they run is covered by other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        patch.delenv("COVERAGE_PROCESS_START", raising=False)
        yield


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site on which the suite `colours` is deployed; the emulator knows the rows I-1 to I-60."""
    folder: Path = tmp_path_factory.mktemp("site")
    with running_site(folder / "home", write_emulator(folder, ROWS, median_ms=5), workers=1) as site:
        site.upload(write_suite(folder / "colours"))
        site.start_host()
        yield site
