"""Redaction with libraries: added to our own, whole spans, and clear when they are missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from chain_bench import Asked, context

from assay.errors import UserError
from assay.middleware.chain import build_chain
from assay.middleware.extended import ExtendedRedactor, Span, extended
from assay.middleware.redaction import PatternRedactor
from builders import suite


def finding(*words: str) -> ExtendedRedactor:
    def find(text: str) -> Iterator[Span]:
        for word in words:
            if word in text:
                at = text.index(word)
                yield at, at + len(word), "found"

    return ExtendedRedactor(PatternRedactor(), (find,))


def test_what_libraries_find_is_replaced_after_our_own() -> None:
    """Both kinds of finds are taken out."""
    redactor = finding("blue folder")
    assert redactor.redact("a blue folder of jane@contoso.com") == "a [redacted:found] of [redacted:email]"


def test_of_finds_that_overlap_the_longest_from_the_first_counts() -> None:
    """Replacing one must not leave half of another."""
    assert finding("cd", "bcde", "ef").redact("abcdef") == "a[redacted:found]f"


def test_missing_libraries_are_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the run's chain is made, not in the middle of it."""
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    monkeypatch.setitem(sys.modules, "detect_secrets.plugins", None)
    of = suite(middleware=[{"plugin": "redaction", "recognisers": "extended"}])

    with pytest.raises(UserError, match=r"assay-batch\[redaction\]"):
        build_chain(of, context(), Asked())


def test_the_libraries_work_offline_and_find_what_patterns_do_not() -> None:
    """Runs where the extra is installed."""
    pytest.importorskip("detect_secrets")
    pytest.importorskip("presidio_analyzer")
    redactor = extended(PatternRedactor())

    said = redactor.redact("aws AKIAIOSFODNN7EXAMPLE, call 030 1234567, ssn 536-90-4399, mail a.b@contoso.com")

    assert said == "aws [redacted:secret], call [redacted:phone-number], ssn [redacted:us-ssn], mail [redacted:email]"
    assert redactor.redact(said) == said
