"""The keys that guard HTTP functions: one for level `function`, one master key. Called by the host and its routes."""

import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from assay.local.files import write_whole


@dataclass(frozen=True)
class HostKeys:
    """The keys of one host: they stay the same from start to start."""

    function: str = field(repr=False)
    master: str = field(repr=False)

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
        write_whole(path, json.dumps(keys))
    return HostKeys(**json.loads(path.read_text(encoding="utf-8")))
