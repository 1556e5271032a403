"""Builds the image in the registry, once for each state of the code, and says which digest that is."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass

from toolchain import ROOT, StepFailed, say

from azure_deploy.az import Azure

REPOSITORY = "assay"
_DIGEST = "sha256:[0-9a-f]{64}"


@dataclass(frozen=True)
class Revision:
    """The state of the code: its commit, and whether files differ from it."""

    commit: str
    difference: str
    version: str

    @property
    def tag(self) -> str:
        """The image's tag: equal code, equal tag."""
        return f"{self.commit[:12]}-{self.difference}" if self.difference else self.commit[:12]


def current_revision() -> Revision:
    """What is checked out. Without git, or with files that differ, a digest of the image's files tells states apart."""
    commit = _git("rev-parse", "HEAD") or "unknown"
    source = (ROOT / "shared" / "assay" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "([^"]+)"', source)
    is_clean = commit != "unknown" and not _git("status", "--porcelain", "--", *_IN_THE_IMAGE)
    return Revision(commit, "" if is_clean else _digest_of_files(), version[1] if version else "unreleased")


_IN_THE_IMAGE = ("Dockerfile", ".dockerignore", "function_app", "shared/assay", "scripts/image")


def _digest_of_files() -> str:
    digest = hashlib.sha256()
    for place in map(ROOT.joinpath, _IN_THE_IMAGE):
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@dataclass(frozen=True)
class Registry:
    """Where images are: its login server (none before a first deployment), and the CLI for its subscription."""

    server: str
    azure: Azure

    @property
    def name(self) -> str:
        """Its name in commands; before a first deployment, what a rehearsal shows for it."""
        return self.server.split(".")[0] or "REGISTRY"

    def exists(self) -> bool:
        """Whether it is there. Raises StepFailed."""
        return bool(self.server and self.azure.finds("acr", "show", "--name", self.name, "--query", "loginServer"))

    def digest_of(self, named: str) -> str:
        """The digest of an image; nothing when there is none. Raises StepFailed."""
        if not self.server:
            return ""
        words = ["acr", "repository", "show", "--name", self.name, "--image", named, "--query", "digest"]
        return str(self.azure.finds(*words) or "")


def build_image(registry: Registry, revision: Revision, base_digest: str) -> str:
    """The image of this code by digest, built unless the registry has it. Raises StepFailed."""
    named = f"{REPOSITORY}:{revision.tag}"
    home = f"{registry.server or 'REGISTRY.azurecr.io'}/{REPOSITORY}"
    digest = registry.digest_of(named)
    if digest:
        say(f"The registry has {named} already")
        return f"{home}@{digest}"
    say(f"Building {named} in {registry.name}, about five minutes")
    arguments = [f"REVISION={revision.commit}", f"VERSION={revision.version}"]
    arguments += [f"BASE_DIGEST={base_digest}"] if base_digest else []
    words = ["acr", "build", "--registry", registry.name, "--image", named, "--platform", "linux/amd64"]
    words += [word for argument in arguments for word in ("--build-arg", argument)]
    registry.azure.change_aloud(*words, str(ROOT), doing="Building the image")
    return f"{home}@{registry.digest_of(named) or registry.azure.unbuilt_digest()}"


def check_digests(image: str, base_digest: str) -> None:
    """Raises StepFailed for an image, or a base image, that is not named so that it cannot change."""
    if image and not re.fullmatch(rf"[^@\s]+@{_DIGEST}", image):
        raise StepFailed(f"--image {image}: name it by digest, REGISTRY/assay@sha256:..., so that it cannot change.")
    if base_digest and not re.fullmatch(_DIGEST, base_digest):
        raise StepFailed(f"--base-digest {base_digest}: expected sha256: and 64 hexadecimal digits.")
