"""What stock tools read beside the plain signature: Sigstore bundles, and the run's provenance as an attestation.

Formats: DSSE 1.0.2, in-toto Statement v1, SLSA provenance v1, Sigstore bundle v0.3. Pure; `bundle.py` signs with it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import rfc8785

from assay.provenance.manifest import Manifest
from assay.storage.bundle_names import MANIFEST_NAME, SUITE_FILE

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:assay:run:v1"
SIGSTORE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def pre_authentication(payload: bytes) -> bytes:
    """The bytes that an envelope's signature is over: DSSE's PAE of payload type and payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def statement(manifest: Manifest, manifest_bytes: bytes, finished: str | None) -> bytes:
    """The in-toto statement about a manifest, as canonical JSON: the manifest is its subject, the run its predicate.

    `finished` is when the run's bundle was sealed, in ISO 8601, where that is known.
    """
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    return rfc8785.dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": MANIFEST_NAME, "digest": {"sha256": digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": _predicate(manifest, finished),
        }
    )


def message_bundle(manifest_bytes: bytes, signature: bytes, hint: str) -> bytes:
    """The Sigstore bundle of a plain signature over the manifest."""
    digest = hashlib.sha256(manifest_bytes).digest()
    signed = {"messageDigest": {"algorithm": "SHA2_256", "digest": _base64(digest)}, "signature": _base64(signature)}
    return _bundle({"messageSignature": signed}, hint)


def envelope_bundle(payload: bytes, signature: bytes, hint: str) -> bytes:
    """The Sigstore bundle of a signed attestation: a DSSE envelope."""
    envelope = {
        "payload": _base64(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _base64(signature), "keyid": ""}],
    }
    return _bundle({"dsseEnvelope": envelope}, hint)


def read_message_bundle(content: bytes) -> tuple[bytes, bytes]:
    """SHA-256 digest and signature of a bundle that `message_bundle` made. Raises ValueError for anything else."""
    fields = _read(content)
    signed = _mapping(fields, "messageSignature")
    digest = _mapping(signed, "messageDigest")
    if digest.get("algorithm") != "SHA2_256":
        raise ValueError("its digest is not SHA2_256")
    return _bytes(digest, "digest"), _bytes(signed, "signature")


def read_envelope_bundle(content: bytes) -> tuple[bytes, bytes]:
    """Payload and signature of a bundle that `envelope_bundle` made. Raises ValueError for anything else."""
    envelope = _mapping(_read(content), "dsseEnvelope")
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise ValueError(f"its payload is not {PAYLOAD_TYPE}")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise ValueError("it does not have exactly one signature")
    return _bytes(envelope, "payload"), _bytes(signatures[0], "sig")


def _predicate(manifest: Manifest, finished: str | None) -> dict[str, Any]:
    said = manifest.provenance
    versions = _texts(said.get("versions"))
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _present(
                suite=_name_of(said.get("suite")),
                dataset=_name_of(said.get("dataset")),
                seed=said.get("seed"),
                experiments=said.get("experiments"),
            ),
            "internalParameters": _present(
                rows=said.get("rows"), trials=said.get("trials"), prices=said.get("prices"), versions=versions
            ),
            "resolvedDependencies": _dependencies(said, versions),
        },
        "runDetails": {
            "builder": {"id": f"urn:assay:host:{said.get('host') or 'unknown'}", "version": versions},
            "metadata": _present(invocationId=manifest.run, startedOn=manifest.created, finishedOn=finished),
        },
    }


def _dependencies(said: Mapping[str, Any], versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Everything that the results rest on: suite, dataset, code, image, and the models that answered."""
    suite, dataset = _object(said.get("suite")), _object(said.get("dataset"))
    found = [
        _present(name="suite", uri=SUITE_FILE, digest=_present(sha256=suite.get("sha256"))),
        _present(
            name="dataset",
            uri=dataset.get("file"),
            digest=_present(sha256=dataset.get("sha256")),
            annotations=_present(etag=dataset.get("etag"), size=dataset.get("size")),
        ),
        _present(
            name="code", uri=f"pkg:pypi/assay-batch@{versions.get('assay', '')}", digest=_git(versions.get("git_sha"))
        ),
    ]
    if image := versions.get("image_digest"):
        found.append({"name": "image", "digest": {"sha256": image.removeprefix("sha256:")}})
    models = _object(said.get("models"))
    found += [
        {"name": "model", "uri": f"urn:assay:model:{name}", "annotations": {"answers": answers}}
        for name, answers in sorted(models.items())
    ]
    return found


def _git(sha: str | None) -> dict[str, str]:
    return {"gitCommit": sha} if sha else {}


def _name_of(value: Any) -> Any:
    fields = _object(value)
    return fields.get("name") or fields.get("file")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in _object(value).items()}


def _present(**fields: Any) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}


def _bundle(content: Mapping[str, Any], hint: str) -> bytes:
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    fields = {"mediaType": SIGSTORE_MEDIA_TYPE, "verificationMaterial": material, **content}
    return rfc8785.dumps(fields)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _read(content: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(fields, dict) or fields.get("mediaType") != SIGSTORE_MEDIA_TYPE:
        raise ValueError(f"not a Sigstore bundle of type {SIGSTORE_MEDIA_TYPE}")
    return fields


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"it has no '{name}'")
    return found


def _bytes(fields: Mapping[str, Any], name: str) -> bytes:
    found = fields.get(name)
    try:
        return base64.b64decode(found if isinstance(found, str) else "", validate=True)
    except ValueError:
        raise ValueError(f"its '{name}' is not Base64") from None
