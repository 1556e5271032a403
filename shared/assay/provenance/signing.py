"""Signs manifests: ECDSA on P-256 with SHA-256, as DER, which OpenSSL verifies. `bundle.py` calls it.

`LocalKeySigner` keeps its key in a file, `key_vault.py` one in Azure; `HmacSigner` has no key pair at all.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import shlex
import stat
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import UserError

_ALGORITHM = ec.ECDSA(hashes.SHA256())
SHORTEST_SECRET = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Signer(Protocol):
    """Signs bytes with a P-256 key."""

    @property
    def key_id(self) -> str:
        """Names the key and its version; a new key has another id."""
        ...

    @property
    def public_key_pem(self) -> bytes:
        """The public key as PEM (SubjectPublicKeyInfo)."""
        ...

    async def sign(self, payload: bytes) -> bytes:
        """A DER-encoded ECDSA signature over the SHA-256 of `payload`. Two calls give two different, valid ones."""
        ...


class LocalKeySigner:
    """Signs with a private key held in memory."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self.public_key_pem = public_pem(private_key.public_key())
        self.key_id = fingerprint(private_key.public_key())

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The signer with the key at `path` (PEM, PKCS #8), which is created with mode 0600 when it is not there.

        When two processes create it at once, both get the key of the first. Raises UserError for a key that other
        users can read, for a file that is not an unencrypted P-256 private key, and when the file cannot be used.
        """
        try:
            if not path.exists():
                _create_key(path)
            return cls(_load_key(path))
        except OSError as error:
            raise UserError(f"{path}: the signing key cannot be read or created: {error.strerror}.") from error

    async def sign(self, payload: bytes) -> bytes:
        return self._private_key.sign(payload, _ALGORITHM)


class HmacSigner:
    """Seals with a secret that both sides know: HMAC-SHA256 (RFC 2104), for systems that know nothing else.

    Whoever can verify can forge: it proves nothing to a third party.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise UserError(f"the HMAC secret has {len(secret)} bytes; expected {SHORTEST_SECRET} or more, random ones")
        self._secret = secret

    @property
    def key_id(self) -> str:
        """Names the secret without telling it: its own HMAC over a fixed text."""
        return f"hmac-sha256:{self.code(b'assay key id')[:32]}"

    def code(self, payload: bytes) -> str:
        """The message authentication code in hex."""
        return hmac.new(self._secret, payload, hashlib.sha256).hexdigest()


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """`sha256:` and the digest of the DER SubjectPublicKeyInfo: the key's name when nobody gave it another."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """The public key as PEM; the same key always gives the same bytes."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 public key in `pem`. Raises ValueError, saying what was found, for anything else."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not a public key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"a {_kind_of(key)} public key; expected EC on P-256")
    return key


def signature_is_valid(key: ec.EllipticCurvePublicKey, signature: bytes, payload: bytes) -> bool:
    """Whether `signature` is this key's over `payload`; malformed signatures are simply not valid."""
    try:
        key.verify(signature, payload, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def _kind_of(key: object) -> str:
    curve = getattr(key, "curve", None)
    return f"EC {curve.name}" if isinstance(curve, ec.EllipticCurve) else type(key).__name__.strip("_")


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_read_private(path), password=None)
    except TypeError as error:
        raise UserError(f"{path}: the signing key is encrypted. Expected an unencrypted PKCS #8 file.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{path}: not a private key in PEM form. Move it away to have a new one created.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UserError(f"{path}: a {_kind_of(key)} private key. Expected EC on P-256; move it away for a new one.")
    return key


def _read_private(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and mode & _OTHERS:
            raise UserError(
                f"{path}: other users can reach the signing key (mode {stat.S_IMODE(mode):04o}, expected 0600). "
                f"Run: chmod 600 {shlex.quote(str(path))}. If others may have read it, move it away and use a new key."
            )
        return file.read()


def _create_key(path: Path) -> None:
    """Writes a new key under a temporary name, then links it: nobody sees half a key, and the first writer wins."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder for this
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
