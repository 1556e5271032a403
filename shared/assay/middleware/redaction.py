"""The redactor: replaces secrets and personal data in a text by `[redacted:kind]`.

Whatever leaves as log, event, error text, audit or quarantine record goes through it; see docs/middleware.md.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from re import IGNORECASE, Match, Pattern, compile, error, escape
from time import perf_counter
from typing import Protocol
from urllib.parse import quote

from assay.errors import UserError
from assay.middleware.redaction_patterns import PERSONAL, SECRETS, Kind
from assay.repetition import repeats_in_repeats
from assay.settings import Settings
from assay.vault import KEY_VAULT_PREFIX

VARIABLE = "ASSAY_REDACTION_PATTERNS"
LONGEST_TEXT = 200_000
LONGEST_SECRET = 4_096
"""Where the search ends, the beginning of a secret may stand: as much is left out."""
LONGEST_LINE = 1_000
SHORTEST_SECRET = 8
PROBE_SECONDS = 0.05
PROBE_WORDS = 32
SHORT_CHARACTERS, SHORT_TEXTS = 64, 4096

_KINDS = (*SECRETS, *PERSONAL)
_MARKS = tuple((mark, at) for at, kind in enumerate(_KINDS) for mark in kind.marks)
_UNMARKED = {at for at, kind in enumerate(_KINDS) if not kind.marks}
_STORAGE_SECRET = compile(r"(?:AccountKey|SharedAccessSignature)=([^;]+)", IGNORECASE)
_PERCENT = compile("%[0-9A-F]{2}")
_WORD = compile(r"(?<!\\)[^\W_]{2,16}")
_DIGITS = compile(r"\d[\d .()/-]{4,}\d|[A-Za-z]{2}\d\d[ A-Za-z0-9]")
_PROBE_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, LONGEST_LINE)


class Redactor(Protocol):
    """Takes secrets and personal data out of texts."""

    def redact(self, text: str) -> str:
        """The text with `[redacted:kind]` in place of what must not leave. Never raises; a second call changes nothing.

        A text that is too long to be searched ends where the search ended.
        """
        ...


class PatternRedactor:
    """Finds by patterns, and literally what it was told to be secret; safe to share in a process.

    `patterns` are regular expressions of the user, one per line. They run over lines of bounded length, and one that
    could take exponential time, or is slow on probes, is refused here: Python cannot interrupt a search.
    Raises UserError with the line of a pattern that is wrong.
    """

    def __init__(self, patterns: str | None = None, secrets: Iterable[str] = ()) -> None:
        self._custom = tuple(_checked_patterns(patterns or ""))
        self._secrets: set[str] = set()
        self._literal: Pattern[str] | None = None
        self._redact_short = lru_cache(SHORT_TEXTS)(self._redact)
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """From now on takes these values out, as they are and as addresses and JSON write them; too short ones stay."""
        known = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST_SECRET}
        if known <= self._secrets:
            return
        self._secrets |= known
        self._literal = compile("|".join(escape(one) for one in sorted(self._secrets, key=len, reverse=True)))
        self._redact_short.cache_clear()

    def redact(self, text: str) -> str:
        # The names of runs, experiments and deployments are on every event.
        return self._redact_short(text) if len(text) <= SHORT_CHARACTERS else self._redact(text)

    def _redact(self, text: str) -> str:
        cut = text[:LONGEST_TEXT]
        if self._literal is not None:
            cut = self._literal.sub("[redacted:secret]", cut)
        for kind in _present(cut):
            cut = kind.pattern.sub(_replacing(kind), cut)
        if self._custom:
            cut = "".join(self._without_custom(part) for part in _parts(cut))
        return cut if len(text) <= LONGEST_TEXT else f"{cut[:-LONGEST_SECRET]} [redacted:too-long]"

    def _without_custom(self, part: str) -> str:
        for pattern in self._custom:
            part = pattern.sub("[redacted:custom]", part)
        return part


def redactor_of(settings: Settings) -> PatternRedactor:
    """This process's redactor: the shipped patterns, those of the settings, and every secret in the settings.

    Raises UserError for a pattern that is wrong. Secrets that are read later (from Key Vault) it has to `learn`.
    """
    return PatternRedactor(settings.redaction_patterns, _secrets_in(settings))


def _forms(secret: str) -> Iterator[str]:
    encoded = quote(secret, safe="")
    yield from (secret, encoded, _PERCENT.sub(lambda found: found[0].lower(), encoded))
    written = json.dumps(secret)[1:-1]
    yield from (written, written.replace("/", "\\/"))


def _secrets_in(settings: Settings) -> Iterator[str]:
    endpoints = [endpoint.api_key for endpoint in settings.endpoints.values()]
    for secret in (settings.azure_openai_api_key, settings.content_safety_key, *endpoints):
        text = secret.get_secret_value() if secret else ""
        if not text.startswith(KEY_VAULT_PREFIX):
            yield text
    if settings.storage_connection_string:
        text = settings.storage_connection_string.get_secret_value()
        yield from (found[1] for found in _STORAGE_SECRET.finditer(text))


@cache
def _shipped() -> PatternRedactor:
    return PatternRedactor()


def default_redact() -> Callable[[str], str]:
    """Redaction with the shipped patterns alone: the same in every process, and knows no setting."""
    return _shipped().redact


def _present(text: str) -> list[Kind]:
    """The kinds that the text may hold, in the order in which they are taken out."""
    lowered = text.lower()
    found = {at for mark, at in _MARKS if mark in lowered}
    if _DIGITS.search(text):
        found |= _UNMARKED
    return [_KINDS[at] for at in sorted(found)] if found else []


def _replacing(kind: Kind) -> Callable[[Match[str]], str]:
    def replacement(found: Match[str]) -> str:
        if kind.check and not kind.check(found):
            return found[0]
        return f"{found.groupdict().get('kept') or ''}[redacted:{kind.name}]"

    return replacement


def _parts(text: str) -> Iterator[str]:
    """Lines with their ends; longer ones in pieces that end at a space where there is one."""
    for line in text.splitlines(keepends=True):
        while len(line) > LONGEST_LINE:
            at = line.rfind(" ", LONGEST_LINE // 2, LONGEST_LINE) + 1 or LONGEST_LINE
            yield line[:at]
            line = line[at:]
        yield line


def _checked_patterns(text: str) -> Iterator[Pattern[str]]:
    for number, line in enumerate(text.splitlines(), 1):
        written = line.strip()
        if written:
            yield _checked(written, f"{VARIABLE}, line {number}: {written[:60]!r}")


def _checked(written: str, where: str) -> Pattern[str]:
    try:
        pattern = compile(written)
    except error as found:
        raise UserError(f"{where} is not a regular expression: {found}; expected one per line") from None
    if pattern.search(""):
        raise UserError(f"{where} matches the empty text, so it would match everywhere; expected one that needs a sign")
    if repeats_in_repeats(written):
        raise UserError(
            f"{where} repeats a group that itself repeats or has alternatives, which can take for ever; "
            "expected a pattern without that, such as [ab]+ in place of (a|b)+"
        )
    if _is_slow(pattern, written):
        raise UserError(
            f"{where} takes too long on a line of {LONGEST_LINE} characters; expected one with fewer '*', '+'"
        )
    return pattern


def _is_slow(pattern: Pattern[str], written: str) -> bool:
    """Whether lines of the pattern's own characters or words, which nearly match, take long; short ones come first."""
    signs = sorted(
        {sign for sign in f"{written}a0 -" if sign.isprintable()} | set(_WORD.findall(written)[:PROBE_WORDS])
    )
    for length in _PROBE_LENGTHS:
        for sign in signs:
            began = perf_counter()
            pattern.search((sign * length)[:length] + "\x00")
            if perf_counter() - began > PROBE_SECONDS:
                return True
    return False
