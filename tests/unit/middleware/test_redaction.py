"""The redactor: what it takes out, what it leaves, and that no pattern can stop a worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import UserError
from assay.middleware.redaction import LONGEST_TEXT, PatternRedactor, default_redact, redactor_of
from assay.middleware.redaction_patterns import has_iban_check, has_luhn_digit
from assay.repetition import repeats_in_repeats
from assay.settings import Settings

KEY_64 = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

SECRETS = [
    (f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY_64};EndpointSuffix=x", KEY_64, "storage-key"),
    (f"the key is {KEY_64} here", KEY_64, "azure-key"),
    ("Endpoint=sb://x/;SharedAccessKey=abc+def/ghi=;EntityPath=q", "abc+def/ghi=", "storage-key"),
    ("https://a.blob.core.windows.net/c/b?sv=2024-11-04&sig=aB3%2Fd%3D99&se=2026", "aB3%2Fd%3D99", "sas-signature"),
    ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0", "jwt"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.", "c2lnbmF0dXJl", "jwt"),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA==", "token"),
    ("key sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn", "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn", "api-key"),
    ("Incorrect API key provided: 'api-key: 0123456789abcdef0123456789abcdef'", "0123456789abcdef", "secret"),
    ('{"password": "hunter2!x"}', "hunter2!x", "secret"),
    ("client_secret=a-word-of-mine", "a-word-of-mine", "secret"),
    ("value Zq18Q~abcdefghijklmnopqrstuvwxyz0123456", "abcdefghijklmnop", "client-secret"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----", "MIIEvQIBADAN", "private-key"),
    ("cut: -----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADAN", "MIIEvQIBADAN", "private-key"),
    ("remote: ghp_" + "a1B2" * 9, "a1B2a1B2", "github-token"),
    ("remote: github_pat_" + "a1B2" * 9, "a1B2a1B2", "github-token"),
    ("pat " + "a" * 76 + "AZDO1234", "AZDO1234", "devops-token"),
    ("postgres://app:pa55w0rd@db.example/x", "pa55w0rd", "url-password"),
    ("postgres://app:p@55w0rd@db.example/x", "55w0rd", "url-password"),
]

PERSONAL = [
    ("write to Jane.Doe+x@mail.contoso.com!", "Jane.Doe", "email"),
    ("ask müller@contoso.de", "müller", "email"),
    ("call +49 (0)30 1234567 today", "1234567", "phone"),
    ("call 555-123-4567", "555-123-4567", "phone"),
    ("call (030) 123 4567", "123 4567", "phone"),
    ("card 4111 1111 1111 1111.", "4111 1111", "card"),
    ("card 5500005555555559", "5500005555555559", "card"),
    ("pay to DE89 3704 0044 0532 0130 00", "0532", "iban"),
    ("pay to gb82west12345698765432", "12345698765432", "iban"),
    ("from 203.0.113.9 port 1", "203.0.113.9", "ip"),
    ("from 2001:db8::8a2e:370:7334", "8a2e", "ip"),
]

HARMLESS = [
    "2026-11-20T09:30:00.123Z support-triage-20261120-7f3ac2 request 7f3a1b2c-0000-4444-8888-123456789abc",
    "Budget reached: the next chunk may cost 0.42 USD and 0.31 of 25.00 USD is left. 1,204 of 1,500 trials are done",
    "card-like 4111 1111 1111 1112 fails its check",
    "http://127.0.0.1:8080/api/health",
    "tokens: 128000 of 200000; a basic understanding; the bearer of this",
    "api_version=2024-10-21",
]


@pytest.mark.parametrize(("text", "planted", "kind"), SECRETS + PERSONAL)
def test_what_must_not_leave_is_replaced_by_its_kind(text: str, planted: str, kind: str) -> None:
    """The rest of the text stays, so that a person can still read it."""
    found = PatternRedactor().redact(text)

    assert planted not in found
    assert f"[redacted:{kind}]" in found


@pytest.mark.parametrize("text", HARMLESS)
def test_what_logs_are_made_of_stays(text: str) -> None:
    """A log in which ids, times and numbers are gone helps nobody."""
    assert PatternRedactor().redact(text) == text


@given(st.lists(st.sampled_from([text for text, *_ in SECRETS + PERSONAL]) | st.text(max_size=40), max_size=6))
def test_redacting_twice_changes_nothing_more(parts: list[str]) -> None:
    """Texts pass several places that redact."""
    once = default_redact()(" ".join(parts))
    assert default_redact()(once) == once


def test_secrets_that_the_process_knows_are_found_wherever_they_stand() -> None:
    """Whatever their form; percent-encoded too; from the moment they are known."""
    redactor = PatternRedactor(None, ["open sesame/42"])
    assert redactor.redact("xopen sesame/42x open%20sesame%2F42") == "x[redacted:secret]x [redacted:secret]"

    assert redactor.redact("from the vault") == "from the vault"
    redactor.learn("from the vault")
    assert redactor.redact("from the vault") == "[redacted:secret]"


def test_the_secrets_of_the_settings_are_known() -> None:
    """Keys of all endpoints and of storage; a reference to a vault is no secret."""
    settings = Settings.load(
        {
            "ASSAY_STORAGE": "AccountName=acc;AccountKey=c3RvcmFnZS1rZXk=;BlobEndpoint=http://127.0.0.1:1/acc",
            "AZURE_OPENAI_API_KEY": "first-model-key",
            "ASSAY_ENDPOINTS": '{"west": {"url": "https://west.example", "api_key": "second-model-key"}}',
            "ASSAY_REDACTION_PATTERNS": "EMP-[0-9]{5}",
        }
    )
    redactor = redactor_of(settings)

    said = "c3RvcmFnZS1rZXk= first-model-key second-model-key acc EMP-00042"
    assert redactor.redact(said) == "[redacted:secret] [redacted:secret] [redacted:secret] acc [redacted:custom]"
    assert redactor_of(Settings()).redact("keyvault:model-key") == "keyvault:model-key"


def test_a_value_that_is_too_short_to_be_a_secret_is_not_searched() -> None:
    """A key of three letters would tear every text apart."""
    assert PatternRedactor(None, ["key", ""]).redact("the key") == "the key"


def test_patterns_of_the_user_count_too() -> None:
    """One regular expression a line; empty lines are none."""
    redactor = PatternRedactor("EMP-\\d{5}\n\n  (?i)project falcon  ")
    assert redactor.redact("EMP-12345 on Project Falcon") == "[redacted:custom] on [redacted:custom]"


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("ok\n(", "line 2: '(' is not a regular expression"),
        ("a*", "matches the empty text"),
        ("(a+)+b", "can take for ever"),
        ("(x|xy)*z", "can take for ever"),
        (r"\w*\w*\w*\w*\w*!", "matches the empty text|takes too long"),
        (r"a*a*a*a*a*b", "takes too long"),
        ("(?:ab)*(?:ab)*(?:ab)*(?:ab)*c", "takes too long"),
    ],
)
def test_a_pattern_that_is_wrong_or_dangerous_is_refused_at_the_start(pattern: str, problem: str) -> None:
    """Python cannot interrupt a search: what may hang a worker must not get in."""
    with pytest.raises(UserError, match="ASSAY_REDACTION_PATTERNS") as caught:
        PatternRedactor(pattern)
    assert any(one in str(caught.value) for one in problem.split("|"))


@pytest.mark.parametrize(
    ("pattern", "repeats"),
    [
        ("(a+)+", True),
        ("((a+))+", True),
        ("(a|b)+", True),
        ("(?P<n>a+)*", True),
        ("(a?){9}", True),
        (r"(\(a+\))*", True),
        (r"(?:\d{3}-)+x", False),
        ("a+b+", False),
        ("(a+)(b)+", False),
        ("[(+]+", False),
        ("(a*)?", False),
        ("(ab){2,}", False),
        ("(a{1,5}){1,3}", False),
    ],
)
def test_a_repeat_within_a_repeat_is_seen(pattern: str, repeats: bool) -> None:
    """Brackets that are escaped or in a class are no groups."""
    assert repeats_in_repeats(pattern) is repeats


def test_a_text_that_is_too_long_ends_where_the_search_ended() -> None:
    """What was not searched does not leave."""
    found = PatternRedactor().redact("a" * LONGEST_TEXT + " jane@contoso.com")
    assert "jane" not in found
    assert found.endswith("[redacted:too-long]")


def test_patterns_of_the_user_see_every_part_of_a_long_line() -> None:
    """A line goes in pieces that end between words."""
    text = "word " * 700 + "EMP-12345 " + "word " * 700
    assert PatternRedactor(r"EMP-\d{5}").redact(text) == text.replace("EMP-12345", "[redacted:custom]")


def test_check_digits_are_those_of_the_standards() -> None:
    """The standards' own examples."""
    assert has_luhn_digit("79927398713")
    assert not has_luhn_digit("79927398710")
    assert has_iban_check("GB82WEST12345698765432")
    assert not has_iban_check("GB83WEST12345698765432")


def test_a_secret_is_not_cut_in_two_where_the_search_ends() -> None:
    """Its first half would leave."""
    secret = "open-sesame-" * 6
    text = "x " * (LONGEST_TEXT // 2 - 20) + secret

    assert "sesame" not in PatternRedactor(None, [secret]).redact(text)


@pytest.mark.parametrize("written", ["open/sesame+42", "open%2fsesame%2b42", "open%2Fsesame%2B42", r"open\/sesame+42"])
def test_a_known_secret_is_found_however_addresses_and_json_write_it(written: str) -> None:
    """Percent-encoded in either case, and with escaped slashes."""
    assert PatternRedactor(None, ["open/sesame+42"]).redact(f"say {written}!") == "say [redacted:secret]!"
