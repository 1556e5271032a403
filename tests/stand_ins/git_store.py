"""A bare Git repository on disk, for stand-ins of Git hosts: real objects, which a real `git clone` reads.

Objects and refs are written as Git's own loose files (gitrepository-layout): a process per object would take most of
the tests' time.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

NOBODY = {
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.org",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}
FILE, FOLDER = "100644", "40000"
CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


@dataclass(frozen=True)
class Entry:
    """A line of a tree."""

    mode: str
    name: str
    sha: str

    @property
    def is_folder(self) -> bool:
        return self.mode == FOLDER

    @property
    def sorted_as(self) -> bytes:
        """Git sorts folders as if their names ended in a slash."""
        return (self.name + "/" * self.is_folder).encode()


class GitStore:
    """One repository. Raises KeyError for objects and refs that are not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("objects", "refs/heads"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "HEAD").write_text("ref: refs/heads/main\n")
        (folder / "config").write_text(CONFIG)

    def seed(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A first commit with these files."""
        tree = self.tree(None, {path: self.blob(content) for path, content in files.items()})
        commit = self.commit("First", tree, [], NOBODY)
        self.set_ref(branch, commit)
        return commit

    def blob(self, content: bytes) -> str:
        return self._write("blob", content)

    def tree(self, base: str | None, entries: dict[str, str | None]) -> str:
        """The base tree, or that of a commit, with these blobs put in; None deletes."""
        files = {path: one.sha for path, one in self._walked(self._tree(base)) if not one.is_folder} if base else {}
        files |= {path: sha for path, sha in entries.items() if sha}
        return self._folder({path: sha for path, sha in files.items() if entries.get(path, sha)})

    def commit(self, message: str, tree: str, parents: list[str], said: dict[str, str]) -> str:
        """A commit by those whom the variables of `git commit-tree` name."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        for role in ("author", "committer"):
            name, email, date = (said[f"GIT_{role}_{key}".upper()] for key in ("name", "email", "date"))
            lines.append(f"{role} {name} <{email}> {int(datetime.fromisoformat(date).timestamp())} +0000")
        return self._write("commit", "\n".join([*lines, "", message]).encode())

    def ref(self, branch: str) -> str | None:
        file = self.folder / "refs/heads" / branch
        return file.read_text().strip() if file.is_file() else None

    def set_ref(self, branch: str, commit: str) -> None:
        file = self.folder / "refs/heads" / branch
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{commit}\n")

    def delete_ref(self, branch: str) -> None:
        (self.folder / "refs/heads" / branch).unlink()

    def tree_of(self, commit: str) -> str:
        return self._fields(commit)["tree"][0]

    def exists(self, sha: str, kind: str) -> bool:
        try:
            return self._read(sha)[0] == kind
        except KeyError:
            return False

    def is_ancestor(self, old: str, new: str) -> bool:
        return old in self._history(new)

    def files(self, commit: str) -> dict[str, bytes]:
        """Every file of a commit or branch."""
        found = self._walked(self._tree(self.ref(commit) or commit))
        return {path: self._read(one.sha)[1] for path, one in found if not one.is_folder}

    def entries(self, tree: str, *, recursive: bool) -> list[dict[str, str]]:
        """What a tree holds: path, type and sha of each entry, as `git ls-tree` tells them."""
        found = self._walked(self._tree(tree)) if recursive else [(one.name, one) for one in self._lines(tree)]
        kinds = {True: "tree", False: "blob"}
        return [
            {"path": path, "mode": one.mode.zfill(6), "type": kinds[one.is_folder], "sha": one.sha}
            for path, one in found
        ]

    def branches(self) -> list[str]:
        heads = self.folder / "refs/heads"
        return sorted(file.relative_to(heads).as_posix() for file in heads.rglob("*") if file.is_file())

    def log(self, branch: str) -> list[str]:
        """The commits of a branch, the newest first."""
        return self._history(self.ref(branch) or branch)

    def _history(self, commit: str) -> list[str]:
        found = [commit]
        while parents := self._fields(found[-1]).get("parent"):
            found.append(parents[0])
        return found

    def _tree(self, sha: str) -> str:
        return self.tree_of(sha) if self._read(sha)[0] == "commit" else sha

    def _folder(self, files: dict[str, str]) -> str:
        """Writes the trees of these blobs and gives the top one."""
        below: defaultdict[str, dict[str, str]] = defaultdict(dict)
        lines = []
        for path, sha in files.items():
            top, slash, rest = path.partition("/")
            if slash:
                below[top][rest] = sha
            else:
                lines.append(Entry(FILE, top, sha))
        lines += [Entry(FOLDER, name, self._folder(inner)) for name, inner in below.items()]
        lines.sort(key=lambda one: one.sorted_as)
        content = (f"{one.mode} {one.name}\0".encode() + bytes.fromhex(one.sha) for one in lines)
        return self._write("tree", b"".join(content))

    def _lines(self, tree: str) -> list[Entry]:
        kind, left = self._read(tree)
        if kind != "tree":
            raise KeyError(f"{tree} is a {kind}")
        found = []
        while left:
            said, _, rest = left.partition(b"\0")
            mode, _, name = said.decode().partition(" ")
            found.append(Entry(mode, name, rest[:20].hex()))
            left = rest[20:]
        return found

    def _walked(self, tree: str, above: str = "") -> list[tuple[str, Entry]]:
        found = []
        for one in self._lines(tree):
            found.append((above + one.name, one))
            if one.is_folder:
                found += self._walked(one.sha, f"{above}{one.name}/")
        return found

    def _fields(self, commit: str) -> dict[str, list[str]]:
        kind, content = self._read(commit)
        if kind != "commit":
            raise KeyError(f"{commit} is a {kind}")
        fields: defaultdict[str, list[str]] = defaultdict(list)
        for line in content.decode().partition("\n\n")[0].splitlines():
            name, _, value = line.partition(" ")
            fields[name].append(value)
        return fields

    def _write(self, kind: str, content: bytes) -> str:
        whole = f"{kind} {len(content)}\0".encode() + content
        sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        file = self._file(sha)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(whole, 1))
        return sha

    def _read(self, sha: str) -> tuple[str, bytes]:
        try:
            whole = zlib.decompress(self._file(sha).read_bytes())
        except OSError:
            raise KeyError(sha) from None
        said, _, content = whole.partition(b"\0")
        return said.decode().split()[0], content

    def _file(self, sha: str) -> Path:
        return self.folder / "objects" / sha[:2] / sha[2:]
