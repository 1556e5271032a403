"""References to images in a row: which ones a prompt may make of it. `prompts.py` calls it; nothing is read here."""

import re

from assay.llm.base import ChatImage
from assay.suite.images import ImageSettings

MAX_CHARACTERS = 2_000
_BLOB = re.compile(r"blob://([^/]+)/(.+)", re.ASCII)
_WEB = re.compile(r"https://[^\s/?#@\\]+(?:[/?#][^\s\\]*)?")
_TOKENS = {"low": 85, "auto": 1_445, "high": 1_445}
"""The most that GPT-4o counts: https://learn.microsoft.com/azure/ai-services/openai/overview#image-input-tokens"""


def image(url: str, settings: ImageSettings) -> ChatImage | None:
    """The image of a rendered address, or None for an empty one. Raises ValueError for one that may not be used."""
    if not url:
        return None
    if len(url) > MAX_CHARACTERS:
        raise ValueError(f"the image's address has {len(url):,} characters; at most {MAX_CHARACTERS:,} are sent")
    if blob := _BLOB.fullmatch(url):
        _check_blob(blob[1], blob[2], settings)
    elif not _WEB.fullmatch(url):
        raise ValueError(f"{url[:80]!r} is no image's address; expected https://... or blob://container/name")
    return ChatImage(url, settings.detail, settings.tokens or _TOKENS[settings.detail])


def _check_blob(container: str, name: str, settings: ImageSettings) -> None:
    if container not in settings.containers:
        allowed = ", ".join(settings.containers) or "none; name it in 'containers'"
        raise ValueError(f"the suite does not allow images from the container {container[:80]!r}. It allows: {allowed}")
    if any(part in ("", ".", "..") for part in name.split("/")) or not name.isprintable() or "\\" in name:
        raise ValueError(f"{name[:80]!r} is no blob's name")
