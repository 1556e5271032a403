"""The keys that guard HTTP functions: one for level `function`, one master key. Called by the host and its routes."""

import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostKeys:
    """The keys of one host: they stay the same from start to start."""

    function: str
    master: str

    def allows(self, auth_level: str, key: str) -> bool:
        """Whether this key opens a function of this level (`anonymous`, `function` or `admin`)."""
        if auth_level == "anonymous":
            return True
        accepted = [self.master] if auth_level == "admin" else [self.master, self.function]
        return any(hmac.compare_digest(key.encode(), each.encode()) for each in accepted)


def load_host_keys(path: Path) -> HostKeys:
    """Read the keys, or make them up at the first call. Only the owner can read the file."""
    if not path.exists():
        keys = {"function": secrets.token_urlsafe(32), "master": secrets.token_urlsafe(32)}
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(keys, file)
        draft.replace(path)
    return HostKeys(**json.loads(path.read_text(encoding="utf-8")))
