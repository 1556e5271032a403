"""What every sink that publishes into a Git repository keeps, whatever its host: tests to inherit."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from assay.provenance.verification import verify_bundle
from assay.sinks.base import Bundle, Sink
from assay.sinks.git_files import GitFile
from stand_ins.git_host import GitHost
from stand_ins.sealed import SIGNER, Dying, Killed

BRANCH = "assay/triage-1"
FOLDER = "assay/triage/triage-1"


class GitPublishing:
    """Names the host's stand-in and its sink. `merged` is what a pull request says of itself when it was accepted."""

    host_type: ClassVar[type[GitHost]]
    sink_of: ClassVar[Callable[..., Sink]]
    merged: ClassVar[dict[str, Any]]

    @pytest.fixture
    def host(self, tmp_path: Path) -> GitHost:
        return self.host_type.at(tmp_path / "host.git")

    async def test_a_clone_has_the_bundle_and_it_verifies(self, host: GitHost, bundle: Bundle, tmp_path: Path) -> None:
        """One commit upon the base, with every file byte by byte, read by Git itself."""
        receipt = await self.sink_of(host).publish(bundle)
        clone = tmp_path / "clone"
        command = ["git", "clone", "--quiet", "--branch", BRANCH, str(host.store.folder), str(clone)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        await asyncio.to_thread(subprocess.run, ["git", "-C", str(clone), "fsck", "--strict"], check=True)
        assert verify_bundle(clone / FOLDER, SIGNER.public_key_pem).ok
        assert (clone / "README.md").read_bytes() == b"# Results\n"
        assert len(host.store.log(BRANCH)) == 2
        assert receipt.details["commit"] == host.store.ref(BRANCH)

    async def test_again_changes_nothing(self, host: GitHost, bundle: Bundle) -> None:
        """The same commit, the same pull request, and no object is moved."""
        first = await self.sink_of(host).publish(bundle)
        before = host.seen()
        assert await self.sink_of(host).publish(bundle) == first
        assert host.seen() == before

    async def test_only_what_is_not_there_is_read_whole(self, host: GitHost, bundle: Bundle, monkeypatch: Any) -> None:
        """Bundles may be larger than memory."""
        await self.sink_of(host).publish(bundle)
        (bundle.folder / "report.md").write_bytes(b"# Better words\n")
        read: list[str] = []
        whole = GitFile.read
        monkeypatch.setattr(GitFile, "read", lambda file: read.append(file.path) or whole(file))
        await self.sink_of(host).publish(bundle)
        assert read == [f"{FOLDER}/report.md"]

    async def test_again_after_a_merge_opens_nothing(self, host: GitHost, bundle: Bundle) -> None:
        """Also when the branch was deleted, as hosts offer after a merge."""
        await self.sink_of(host).publish(bundle)
        host.store.set_ref("main", host.store.ref(BRANCH))
        host.store.delete_ref(BRANCH)
        host.pulls[0].update(self.merged)
        before = host.seen()
        await self.sink_of(host).publish(bundle)
        assert host.seen() == before

    async def test_death_at_any_request_leaves_what_the_next_try_completes(
        self, tmp_path: Path, bundle: Bundle
    ) -> None:
        """Before each request and after each answer: in the end the same commits, one pull request, nothing else."""
        whole = self.host_type.at(tmp_path / "whole.git")
        await self.sink_of(whole, labels=("a",)).publish(bundle)
        for at in range(len(whole.requests)):
            for before in (True, False):
                host = self.host_type.at(tmp_path / f"{at}-{before}.git")
                with pytest.raises(Killed):
                    await self.sink_of(Dying(host, at, before=before), labels=("a",)).publish(bundle)
                await self.sink_of(host, labels=("a",)).publish(bundle)
                assert host.seen() == whole.seen(), (at, before)
