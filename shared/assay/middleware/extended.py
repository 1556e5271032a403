"""Redaction with kept libraries: detect-secrets for secrets, Presidio's recognisers for personal data.

Both come with the extra `redaction`; neither loads a language model or asks the network. See docs/middleware.md.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from assay.errors import UserError
from assay.middleware.redaction import Redactor

Span = tuple[int, int, str]
Find = Callable[[str], Iterator[Span]]
LEAST_SCORE = 0.4

# Detectors of one vendor's form each: those by entropy or keyword take ordinary words for secrets.
_DETECTORS = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
# Presidio's e-mail recogniser is left out: it fetches a list of domains from the network.
_RECOGNISERS = ("CreditCardRecognizer", "IbanRecognizer", "PhoneRecognizer", "UsSsnRecognizer", "CryptoRecognizer")


def extended(redactor: Redactor) -> Redactor:
    """What `redactor` finds, and then what the libraries find. Raises UserError without the libraries."""
    try:
        finds = (_secret_finder(), _personal_finder())
    except ImportError as error:
        raise UserError(
            f"redaction with recognisers: extended needs {error.name}; install assay-batch[redaction], or take it out"
        ) from error
    return ExtendedRedactor(redactor, finds)


class ExtendedRedactor:
    """A redactor that lets others look at what the first one has left. Milliseconds per text: not for every event."""

    def __init__(self, first: Redactor, finds: tuple[Find, ...]) -> None:
        self._first, self._finds = first, finds

    def redact(self, text: str) -> str:
        text = self._first.redact(text)
        for find in self._finds:
            text = _without(text, find(text))
        return text


def _without(text: str, spans: Iterator[Span]) -> str:
    """The text without the spans; of those that overlap, the first and longest counts."""
    kept, at = [], 0
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= at:
            kept += [text[at:start], f"[redacted:{kind}]"]
            at = end
    return "".join([*kept, text[at:]])


def _secret_finder() -> Find:
    detectors: list[Any] = [
        getattr(import_module(f"detect_secrets.plugins.{module}"), name)() for module, name in _DETECTORS.items()
    ]

    def find(text: str) -> Iterator[Span]:
        for value in {value for detector in detectors for value in detector.analyze_string(text) if value}:
            start = text.find(value)
            while start >= 0:
                yield start, start + len(value), "secret"
                start = text.find(value, start + len(value))

    return find


def _personal_finder() -> Find:
    known = import_module("presidio_analyzer.predefined_recognizers")
    recognisers: list[Any] = [getattr(known, name)() for name in _RECOGNISERS]

    def find(text: str) -> Iterator[Span]:
        for recogniser in recognisers:
            for found in recogniser.analyze(text, recogniser.supported_entities, None) or ():
                if found.score >= LEAST_SCORE:
                    yield found.start, found.end, found.entity_type.lower().replace("_", "-")

    return find
