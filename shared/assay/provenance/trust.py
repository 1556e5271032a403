"""Whom a verifier trusts: public keys from a file or a keyring, or a shared secret. `assay verify` makes it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import UserError
from assay.provenance.signing import HmacSigner, fingerprint, load_public_key

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\s?", re.DOTALL)


@dataclass(frozen=True)
class Trust:
    """The keys of which any may have signed, and the secret for bundles sealed with one. Nothing: integrity only."""

    keys: tuple[ec.EllipticCurvePublicKey, ...] = ()
    secret: HmacSigner | None = None

    @classmethod
    def of(cls, pems: Iterable[bytes], secret: bytes | None = None) -> "Trust":
        """From PEM texts, each with one key or more: a keyring is several keys one after the other, with any text
        between them. Raises UserError for a text without a P-256 public key.
        """
        keys = tuple(key for pem in pems for key in _keys(pem))
        return cls(keys, HmacSigner(secret) if secret is not None else None)

    def find(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Whether a key is one of the trusted ones."""
        return fingerprint(key) in self.fingerprints

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return tuple(fingerprint(key) for key in self.keys)


def _keys(pem: bytes) -> list[ec.EllipticCurvePublicKey]:
    blocks = _PEM.findall(pem) or [pem]
    try:
        return [load_public_key(block) for block in blocks]
    except ValueError as error:
        raise UserError(f"The given key cannot be used: {error}.") from error
