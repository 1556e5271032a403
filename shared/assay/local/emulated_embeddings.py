"""Embeddings of the emulator: reads requests, makes vectors from the texts' hashes, writes the answer's body.

Called by `emulator_service`. Equal texts get equal unit vectors; similar texts need not be near each other.
"""

import base64
import json
import math
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, shake_256
from typing import Any

from assay.local.emulator_deployment import Deployment
from assay.local.emulator_refusals import Refusal, invalid_request
from assay.local.emulator_requests import count_tokens

KNOWN_PARAMETERS = frozenset({"input", "model", "dimensions", "encoding_format", "user", "input_type"})
MAX_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A checked request. `inputs` are bytes that name each input; `digest` names the whole content."""

    deployment: str
    inputs: tuple[bytes, ...]
    digest: str
    prompt_tokens: int
    dimensions: int
    is_base64: bool

    @property
    def charge(self) -> int:
        """Tokens that the quota counts at arrival; there is no completion."""
        return self.prompt_tokens


def read_embedding_request(body: Mapping[str, Any], name: str, deployment: Deployment) -> EmbeddingRequest:
    """Check `body` for the deployment called `name`. Raises Refusal (400)."""
    unknown = body.keys() - KNOWN_PARAMETERS
    if unknown:
        raise invalid_request(f"Unrecognized request argument supplied: {min(unknown)}")
    given = _inputs(body.get("input"))
    tokens = [_tokens(one) for one in given]
    _check_lengths(tokens, deployment.context_tokens)
    dimensions, encoding = _dimensions(body.get("dimensions"), deployment), body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise invalid_request(
            f"Invalid value: '{encoding}'. Supported values are: 'float' and 'base64'.", "encoding_format"
        )
    content = json.dumps([name, "embeddings", given, dimensions], separators=(",", ":"))
    return EmbeddingRequest(
        deployment=name,
        inputs=tuple(json.dumps(one).encode() for one in given),
        digest=blake2b(content.encode(), digest_size=16).hexdigest(),
        prompt_tokens=sum(tokens),
        dimensions=dimensions,
        is_base64=encoding == "base64",
    )


def unit_vector(content: bytes, dimensions: int) -> "array[float]":
    """A unit vector (32-bit floats) drawn from the content's hash. Fewer dimensions are the first ones of more."""
    numbers = struct.unpack(f"<{dimensions}i", shake_256(content).digest(4 * dimensions))
    length = math.hypot(*numbers) or 1.0
    return array("f", [number / length for number in numbers])


def embeddings_body(embeddings: EmbeddingRequest, model: str) -> bytes:
    """The body of a 200 answer, in the order of the inputs."""
    vectors = (unit_vector(one, embeddings.dimensions) for one in embeddings.inputs)
    rows = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector) if embeddings.is_base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": embeddings.prompt_tokens, "total_tokens": embeddings.prompt_tokens}
    return json.dumps({"object": "list", "data": rows, "model": model, "usage": usage}).encode()


def _encoded(vector: "array[float]") -> str:
    little = vector[:]
    if sys.byteorder == "big":
        little.byteswap()
    return base64.b64encode(little).decode()


def _inputs(given: object) -> Sequence[str | list[int]]:
    """The texts, or token lists, of a request: one or many."""
    if given is None:
        raise invalid_request("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    inputs = [given] if isinstance(given, str) or _is_tokens(given) else given
    if not isinstance(inputs, list) or not inputs or not all(_is_input(one) for one in inputs):
        raise _invalid_input()
    if len(inputs) > MAX_INPUTS:
        raise invalid_request(f"Invalid 'input': {len(inputs)} items. Expected at most {MAX_INPUTS}.", "input")
    return inputs


def _is_input(given: object) -> bool:
    return (isinstance(given, str) and given != "") or _is_tokens(given)


def _is_tokens(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(type(one) is int for one in given)


def _invalid_input() -> Refusal:
    return invalid_request(
        "'$.input' is invalid. Expected a text that is not empty, tokens, or an array of those.", "input"
    )


def _tokens(given: str | list[int]) -> int:
    return count_tokens(len(given)) if isinstance(given, str) else len(given)


def _check_lengths(tokens: Sequence[int], context_tokens: int) -> None:
    longest = max(tokens)
    if longest <= context_tokens:
        return
    raise invalid_request(
        f"This model's maximum context length is {context_tokens} tokens, however you requested {longest} tokens "
        f"({longest} in your prompt; 0 for the completion). Please reduce your prompt; or completion length.",
        "input",
        "context_length_exceeded",
    )


def _dimensions(given: object, deployment: Deployment) -> int:
    most = deployment.embedding_dimensions
    if given is None:
        return most
    if type(given) is not int or not 1 <= given <= most:
        raise invalid_request(
            f"Invalid 'dimensions': {given!r}. Expected a whole number from 1 to {most}.", "dimensions"
        )
    return given
