"""Counts a text's tokens with tiktoken, where a model's encoding is on this machine. Called by `estimate.py`.

tiktoken fetches an encoding that it does not find from the internet; a worker never lets it.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

TextCounter = Callable[[str], int]

CACHE_VARIABLES = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")
REMEMBERED_TEXTS = 512
_LITELLM_ENCODINGS = Path("litellm_core_utils", "tokenizers")

# The file's name in a cache (SHA-1 of the address that tiktoken fetches it from) and the SHA-256 of its content, which
# tiktoken checks as well: a file that fails the check would be fetched anew.
_FILES = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}


def text_counter(deployment: str) -> TextCounter | None:
    """Counts tokens as the deployment's model does, or None where that cannot be known without a download.

    The deployment's name has to be its model's, or to begin with it, as `gpt-5.4-mini-eu@west` does. Loading an
    encoding takes about a second, once per process.
    """
    try:
        name = import_module("tiktoken").encoding_name_for_model(deployment.partition("@")[0].lower())
    except (ImportError, KeyError):
        return None
    return _counter(name)


def folder_of(encoding: str) -> Path | None:
    """The folder on this machine that holds the whole file of an encoding: a cache of tiktoken's, or LiteLLM's own."""
    if encoding not in _FILES:
        return None
    name, digest = _FILES[encoding]
    return next((folder for folder in _folders() if _has_content(folder / name, digest)), None)


@cache
def _counter(encoding: str) -> TextCounter | None:
    folder = folder_of(encoding)
    if folder is None:
        return None
    with _cache_at(folder):
        encode = import_module("tiktoken").get_encoding(encoding).encode_ordinary

    # System prompts come with every request: counting them once is most of the work saved.
    @lru_cache(REMEMBERED_TEXTS)
    def count(text: str) -> int:
        return len(encode(text))

    return count


def _folders() -> Iterator[Path]:
    named = next((os.environ[name] for name in CACHE_VARIABLES if name in os.environ), None)
    if named:
        yield Path(named)
    if named is None:
        yield Path(tempfile.gettempdir(), "data-gym-cache")
    litellm = find_spec("litellm")
    for place in (litellm.submodule_search_locations or ()) if litellm else ():
        yield Path(place) / _LITELLM_ENCODINGS


def _has_content(path: Path, digest: str) -> bool:
    try:
        return sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


@contextmanager
def _cache_at(folder: Path) -> Iterator[None]:
    """tiktoken reads its cache's place from the environment, and from nowhere else."""
    before = os.environ.get(CACHE_VARIABLES[0])
    os.environ[CACHE_VARIABLES[0]] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[CACHE_VARIABLES[0]]
        else:
            os.environ[CACHE_VARIABLES[0]] = before
