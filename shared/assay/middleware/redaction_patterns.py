"""What the redactor looks for: secrets that this product meets, and personal data that can be told by its form.

`redaction.py` carries them out. A pattern is only tried on a text that holds one of its marks, as `in` costs nothing.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from re import ASCII, IGNORECASE, Match, Pattern, compile

Check = Callable[[Match[str]], bool]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of text that is taken out.

    Without `marks` the text must hold a digit run for `pattern` to be tried. A group named `kept` stays in front.
    `check` has the last word on what the pattern has found.
    """

    name: str
    pattern: Pattern[str]
    marks: tuple[str, ...] = ()
    check: Check | None = None


def has_luhn_digit(digits: str) -> bool:
    """Whether the last digit checks the others, as on payment cards (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def has_iban_check(iban: str) -> bool:
    """Whether an IBAN's two check digits are right (ISO 13616, modulo 97)."""
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _is_card(found: Match[str]) -> bool:
    digits = "".join(filter(str.isdecimal, found[0]))
    return len(set(digits)) > 1 and has_luhn_digit(digits)


def _is_iban(found: Match[str]) -> bool:
    return has_iban_check(found[0].replace(" ", "").upper())


def _is_address(found: Match[str]) -> bool:
    """Addresses of this machine and of nobody say nothing about a person."""
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _is_phone(found: Match[str]) -> bool:
    return 7 <= sum(map(str.isdecimal, found[0])) <= 15


# Values of secrets end at what separates fields in connection strings, headers, JSON and addresses.
_VALUE = r"""[^\s"'&;,<>]"""

SECRETS = (
    Kind(
        "private-key",
        compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)"),
        ("-----begin ",),
    ),
    Kind("jwt", compile(r"\beyJ[\w-]{8,1000}\.[\w-]{4,}(?:\.[\w-]*){0,3}", ASCII), ("eyj",)),
    Kind(
        "storage-key",
        compile(
            rf"(?P<kept>\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)=){_VALUE}+(?:&{_VALUE}+)*", IGNORECASE
        ),
        ("accountkey=", "sharedaccess"),
    ),
    Kind("sas-signature", compile(r"(?P<kept>[?&;\s]sig=)[^\s\"'&;,<>]{8,}", IGNORECASE), ("sig=",)),
    Kind(
        "url-password", compile(r"(?P<kept>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/\"'<>]{1,300}(?=@)", IGNORECASE), ("://",)
    ),
    Kind(
        "token",
        compile(r"(?P<kept>\b(?:Bearer|Basic|SharedKey)\s{1,3})(?!\[)[\w.~+/=:-]{16,}", IGNORECASE | ASCII),
        ("bearer", "basic ", "sharedkey "),
    ),
    Kind("api-key", compile(r"\bsk-[A-Za-z0-9_-]{16,}"), ("sk-",)),
    # Keys of Azure AI resources end in this signature; those of storage, Cosmos and Key Vault secrets have their own.
    Kind("azure-key", compile(r"\b[A-Za-z0-9]{52}(?:JQQJ99|AZEX)[A-Za-z0-9]{10,}"), ("jqqj99", "azex")),
    Kind("azure-key", compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{86}==", ASCII), ("==",)),
    Kind("client-secret", compile(r"(?<![\w~.-])[\w~.-]{3}8Q~[\w~.-]{31,34}", ASCII), ("8q~",)),
    Kind(
        "github-token",
        compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})", ASCII),
        ("gh", "github_pat_"),
    ),
    Kind("devops-token", compile(r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b"), ("azdo",)),
    Kind(
        "secret",
        compile(
            r"(?P<kept>(?:api[_-]?key|subscription-key|password|passwd|pwd|client[_-]?secret|access[_-]?token|"
            rf"auth[_-]?token|functions-key)[\"']?\s{{0,3}}[=:]\s{{0,3}}[\"']?)(?!\[){_VALUE}{{4,}}",
            IGNORECASE | ASCII,
        ),
        ("key", "passw", "pwd", "secret", "token"),
    ),
)

PERSONAL = (
    Kind(
        "email",
        compile(r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"),
        ("@",),
    ),
    Kind(
        "iban",
        compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", IGNORECASE | ASCII),
        check=_is_iban,
    ),
    Kind("card", compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])", ASCII), check=_is_card),
    Kind("ip", compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\d|\w)", ASCII), check=_is_address),
    Kind(
        "ip", compile(r"(?<![\w:.])(?:[0-9A-F]{0,4}:){2,7}[0-9A-F]{1,4}(?![\w:])", IGNORECASE), ("::", ":"), _is_address
    ),
    Kind(
        "phone",
        # With a country code, an area code in brackets, or at least two separators: bare digits are mostly counts.
        compile(
            r"(?<![\w.+-])(?:(?:\+|00)\d{1,3}[ .()/-]{0,3}(?:\d[ .()/-]{0,2}){6,12}\d"
            r"|\(0?\d{2,5}\)[ -]?\d{2,4}[ -]?\d{2,6}|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w-])",
            ASCII,
        ),
        check=_is_phone,
    ),
)
