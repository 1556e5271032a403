"""Which part of a prompt a deployment has seen before, as the service bills it: 1,024 tokens at least, in steps of 128.

Called by `emulator_service` for deployments with `prompt_cache`.
"""

from hashlib import blake2b

from assay.local.emulator_requests import CHARACTERS_PER_TOKEN

BLOCK_TOKENS = 128
LEAST_TOKENS = 1024
KEPT_BLOCKS = 65_536


class PromptCache:
    """The beginnings of the prompts that one deployment has seen; the oldest are forgotten first."""

    def __init__(self, kept_blocks: int = KEPT_BLOCKS) -> None:
        self._kept_blocks = kept_blocks
        self._seen: dict[bytes, None] = {}

    def see(self, texts: tuple[str, ...]) -> int:
        """How many tokens at the prompt's beginning were seen before; from now on all of it was."""
        prompt = "\0".join(texts)
        step = BLOCK_TOKENS * CHARACTERS_PER_TOKEN
        if len(prompt) < LEAST_TOKENS * CHARACTERS_PER_TOKEN:
            return 0
        hashed, known, alike = blake2b(digest_size=16), 0, True
        for start in range(0, len(prompt) - step + 1, step):
            hashed.update(prompt[start : start + step].encode(errors="surrogatepass"))
            name = hashed.digest()
            alike = alike and name in self._seen
            known += alike
            self._seen[name] = None
        while len(self._seen) > self._kept_blocks:
            del self._seen[next(iter(self._seen))]
        return known * BLOCK_TOKENS if known * BLOCK_TOKENS >= LEAST_TOKENS else 0
