"""Embeddings are unit vectors that depend on the text alone, and bad requests are refused as the service does."""

import base64
import json
import math
import struct
from typing import Any

import pytest

from assay.local.emulated_embeddings import embeddings_body, read_embedding_request, unit_vector
from assay.local.emulator_config import Deployment
from assay.local.emulator_refusals import Refusal

SMALL = Deployment(model="m", embedding_dimensions=64, context_tokens=100)


def body_of(**parameters: Any) -> dict[str, Any]:
    return dict(json.loads(embeddings_body(read_embedding_request(parameters, "e", SMALL), "m")))


def vectors(**parameters: Any) -> list[list[float]]:
    return [row["embedding"] for row in body_of(**parameters)["data"]]


def test_a_vector_has_length_one_and_depends_on_its_text_alone() -> None:
    """The order and company of a text change nothing."""
    one, two = vectors(input=["one", "two"])

    assert math.hypot(*one) == pytest.approx(1.0, abs=1e-6)
    assert vectors(input=["two", "one"]) == [two, one]
    assert vectors(input="one") == [one]
    assert one != two


def test_fewer_dimensions_are_the_first_ones_made_longer() -> None:
    """As with the service's shortened embeddings."""
    whole, short = vectors(input="one")[0], vectors(input="one", dimensions=8)[0]

    assert (len(whole), len(short)) == (64, 8)
    ratio = short[0] / whole[0]
    assert short == pytest.approx([number * ratio for number in whole[:8]], rel=1e-5)


def test_different_texts_point_in_unrelated_directions() -> None:
    """Products of independent unit vectors have mean 0 and variance 1 over the dimensions."""
    drawn = [unit_vector(str(number).encode(), 64) for number in range(200)]
    products = [
        sum(a * b for a, b in zip(one, two, strict=True)) for one, two in zip(drawn[::2], drawn[1::2], strict=True)
    ]

    assert sum(products) / 100 == pytest.approx(0.0, abs=0.04)
    assert sum(product**2 for product in products) / 100 == pytest.approx(1 / 64, rel=0.45)


def test_both_encodings_carry_the_same_numbers() -> None:
    """Base64 holds little-endian 32-bit floats."""
    packed = body_of(input="one", encoding_format="base64")["data"][0]["embedding"]

    assert list(struct.unpack("<64f", base64.b64decode(packed))) == vectors(input="one")[0]


def test_usage_counts_every_input() -> None:
    """A quarter of the characters of each text, or its tokens as given."""
    assert body_of(input=["x" * 8, "y" * 5])["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert body_of(input=[[1, 2, 3], [4]])["usage"]["total_tokens"] == 4
    assert len(body_of(input=[1, 2, 3])["data"]) == 1


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "Missing required parameter: 'input'"),
        ({"input": ""}, "'$.input' is invalid"),
        ({"input": []}, "'$.input' is invalid"),
        ({"input": ["a", 1]}, "'$.input' is invalid"),
        ({"input": ["a"] * 2049}, "2049 items"),
        ({"input": "x" * 404}, "maximum context length is 100 tokens, however you requested 101"),
        ({"input": "a", "dimensions": 65}, "from 1 to 64"),
        ({"input": "a", "encoding_format": "hex"}, "'float' and 'base64'"),
        ({"input": "a", "temperature": 1}, "temperature"),
    ],
)
def test_an_invalid_request_is_refused(parameters: dict[str, Any], told: str) -> None:
    """A 400 that says what is wrong."""
    with pytest.raises(Refusal) as refusal:
        read_embedding_request(parameters, "e", SMALL)

    assert refusal.value.status == 400
    assert told in refusal.value.error["message"]
