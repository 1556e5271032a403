"""A bare Git repository on disk, for stand-ins of Git hosts: real objects, which a real `git clone` reads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NOBODY = {
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.org",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


class GitStore:
    """One repository. Raises KeyError for objects and refs that are not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "HEAD").exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", "--initial-branch=main")

    def seed(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A first commit with these files."""
        tree = self.tree(None, {path: self.blob(content) for path, content in files.items()})
        commit = self.commit("First", tree, [], NOBODY)
        self.set_ref(branch, commit)
        return commit

    def blob(self, content: bytes) -> str:
        return self._git("hash-object", "-w", "--stdin", given=content)

    def tree(self, base: str | None, entries: dict[str, str | None]) -> str:
        """The base tree with these blobs put in; None deletes."""
        environment = {"GIT_INDEX_FILE": str(self.folder / f"index-{os.urandom(6).hex()}")}
        try:
            if base:
                self._git("read-tree", base, environment=environment)
            for path, blob in entries.items():
                mode = "100644" if blob else "0"
                line = f"{mode} {blob or '0' * 40}\t{path}\n".encode()
                self._git("update-index", "--index-info", given=line, environment=environment)
            return self._git("write-tree", environment=environment)
        finally:
            Path(environment["GIT_INDEX_FILE"]).unlink(missing_ok=True)

    def commit(self, message: str, tree: str, parents: list[str], environment: dict[str, str]) -> str:
        given = [part for parent in parents for part in ("-p", parent)]
        return self._git("commit-tree", tree, *given, "-F", "-", given=message.encode(), environment=environment)

    def ref(self, branch: str) -> str | None:
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        except KeyError:
            return None

    def set_ref(self, branch: str, commit: str) -> None:
        self._git("update-ref", f"refs/heads/{branch}", commit)

    def delete_ref(self, branch: str) -> None:
        self._git("update-ref", "-d", f"refs/heads/{branch}")

    def tree_of(self, commit: str) -> str:
        return self._git("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")

    def exists(self, sha: str, kind: str) -> bool:
        try:
            return self._git("cat-file", "-t", sha) == kind
        except KeyError:
            return False

    def is_ancestor(self, old: str, new: str) -> bool:
        try:
            self._git("merge-base", "--is-ancestor", old, new)
        except KeyError:
            return False
        return True

    def files(self, commit: str) -> dict[str, bytes]:
        """Every file of a commit."""
        names = self._git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")
        return {name: self._raw("cat-file", "blob", f"{commit}:{name}") for name in names if name}

    def entries(self, tree: str, *, recursive: bool) -> list[dict[str, str]]:
        """What a tree holds: path, type and sha of each entry, as `git ls-tree` tells them."""
        lines = self._git("ls-tree", "-z", *(["-r", "-t"] if recursive else []), tree).split("\0")
        parts = [line.split("\t") for line in lines if line]
        return [
            {"path": path, "mode": said.split()[0], "type": said.split()[1], "sha": said.split()[2]}
            for said, path in parts
        ]

    def branches(self) -> list[str]:
        return self._git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()

    def log(self, branch: str) -> list[str]:
        return self._git("log", "--format=%H", branch).split()

    def _git(self, *arguments: str, given: bytes = b"", environment: dict[str, str] | None = None) -> str:
        return self._raw(*arguments, given=given, environment=environment).decode().strip("\n")

    def _raw(self, *arguments: str, given: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
        done = subprocess.run(
            ["git", f"--git-dir={self.folder}", *arguments],
            input=given,
            capture_output=True,
            check=False,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **(environment or {})},
        )
        if done.returncode:
            raise KeyError(f"git {' '.join(arguments[:2])}: {done.stderr.decode()[:200]}")
        return done.stdout
