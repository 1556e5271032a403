"""The manifest: canonical bytes, safe paths, and reading back."""

import json
import struct
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import NameRefused, UserError
from assay.provenance.manifest import (
    Manifest,
    ManifestMalformed,
    build_manifest,
    canonical_bytes,
    describe,
    path_fault,
    read_manifest,
)

CREATED = "2026-01-02T03:04:05Z"
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES
)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=10
)


def manifest_of(provenance: dict, **contents: bytes) -> Manifest:
    artifacts = {path: describe(path, sha256(data).hexdigest(), len(data)) for path, data in contents.items()}
    return build_manifest("r1", CREATED, provenance, artifacts)


def canonical_provenance(provenance: dict) -> str:
    """What stands between `"provenance":` and `,"run"` in the canonical manifest."""
    text = canonical_bytes(manifest_of(provenance)).decode()
    return text.split('"provenance":', 1)[1].rsplit(',"run":', 1)[0]


class TestCanonicalBytes:
    def test_agree_with_the_sample_of_rfc_8785(self):
        """RFC 8785, 3.2.2 and 3.2.4: numbers, escapes and literals."""
        source = r"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"""
        expected = (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            r'"string":"€$\u000f\nA' + "'" + r'B\"\\\\\"/"}'
        )
        assert canonical_provenance(json.loads(source)) == expected

    def test_sort_keys_as_rfc_8785_does(self):
        """RFC 8785, 3.2.3: by UTF-16 code units, so that an emoji comes before a Hebrew letter."""
        keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
        found = list(json.loads(canonical_provenance(dict.fromkeys(keys))))
        assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]

    @pytest.mark.parametrize(
        ("bits", "text"),
        [
            ("0000000000000000", "0"),
            ("8000000000000000", "0"),
            ("0000000000000001", "5e-324"),
            ("7fefffffffffffff", "1.7976931348623157e+308"),
            ("4340000000000000", "9007199254740992"),
            ("44b52d02c7e14af5", "9.999999999999997e+22"),
            ("44b52d02c7e14af6", "1e+23"),
            ("444b1ae4d6e2ef4e", "999999999999999700000"),
            ("444b1ae4d6e2ef50", "1e+21"),
            ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
            ("3eb0c6f7a0b5ed8d", "0.000001"),
            ("41b3de4355555557", "333333333.33333343"),
            ("becbf647612f3696", "-0.0000033333333333333333"),
            ("43143ff3c1cb0959", "1424953923781206.2"),
        ],
    )
    def test_write_numbers_as_rfc_8785_does(self, bits, text):
        """RFC 8785, appendix B."""
        number = struct.unpack(">d", bytes.fromhex(bits))[0]
        assert canonical_provenance({"x": number}) == f'{{"x":{text}}}'

    def test_do_not_depend_on_the_order_of_the_input(self):
        """The same content in another order is the same manifest."""
        one = manifest_of({"a": 1, "b": 2}, **{"x.csv": b"1", "a.md": b"2"})
        other = manifest_of({"b": 2, "a": 1}, **{"a.md": b"2", "x.csv": b"1"})
        assert canonical_bytes(one) == canonical_bytes(other)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", (1, 2), b"x", {1: 2}])
    def test_refuse_what_json_cannot_hold_exactly(self, value):
        """Nothing is rounded or replaced in silence."""
        with pytest.raises(UserError, match=r"provenance|manifest"):
            canonical_bytes(manifest_of({"x": value}))


class TestReadingBack:
    @settings(max_examples=100, deadline=None)
    @given(st.dictionaries(NAMES, JSON_VALUES, max_size=4), st.binary(max_size=9))
    def test_gives_the_same_bytes_again(self, provenance, content):
        """Whatever the provenance holds, what was written can be read and written again."""
        written = canonical_bytes(manifest_of(provenance, **{"a/b.csv": content}))
        assert canonical_bytes(read_manifest(written)) == written

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace('"version":1', '"version":2'),
            lambda text: text.replace('"version":1', '"version":"1"'),
            lambda text: text.replace('"run":', '"runs":'),
            lambda text: text.replace('"size":1', '"size":-1'),
            lambda text: text.replace('"size":1', '"size":1.0'),
            lambda text: text.replace('"path":"a.csv"', '"path":"../a.csv"'),
            lambda text: text.replace('"path":"a.csv"', '"path":"b.csv"'),
            lambda text: text.replace('"path":"b.csv"', '"path":"A.csv"'),
            lambda text: text.replace("{", "{ ", 1),
            lambda text: text.replace('"run":"r1"', '"run":"r0","run":"r1"'),
            lambda text: text.replace('"provenance":{}', '"provenance":{"x":NaN}'),
            lambda text: text.replace('"provenance":{}', '"provenance":{"x":1e999}'),
            lambda text: text.replace('"provenance":{}', '"provenance":{"x":' + "9" * 5000 + "}"),
            lambda text: text[:-1],
            lambda text: '{"a":' * 100_000,
            lambda text: "[]",
            lambda text: "",
        ],
    )
    def test_refuses_anything_but_the_canonical_bytes_of_a_manifest(self, change):
        """Other versions, fields, spacing, duplicates, unsafe or unsorted paths, endless nesting."""
        text = canonical_bytes(manifest_of({}, **{"a.csv": b"1", "b.csv": b"2"})).decode()
        assert read_manifest(text.encode())
        changed = change(text)
        assert changed != text
        with pytest.raises(ManifestMalformed):
            read_manifest(changed.encode())

    def test_error_names_the_place_and_not_the_content(self):
        """A hostile manifest cannot write to the terminal."""
        text = canonical_bytes(manifest_of({}, **{"a.csv": b"1"})).decode().replace('"a.csv"', '"\\u001b[2J"')
        with pytest.raises(ManifestMalformed, match=r"artifacts\.0\.path") as caught:
            read_manifest(text.encode())
        assert "\x1b" not in str(caught.value)


class TestPaths:
    @pytest.mark.parametrize("path", ["report.html", "plots/a b.png", "été/日本.csv", ".hidden", "a..b", "-x"])
    def test_names_within_the_bundle_are_fine(self, path):
        """Letters of any language, spaces and dots within a name."""
        assert path_fault(path) is None

    @pytest.mark.parametrize(
        "path",
        ["", "/etc/passwd", "../x", "a/../x", "a/./x", "a//x", "a/", "..", ".", "a\\b", "C:x", "a\nb", "a\0b",
         "\x1b[2J", "x" * 1025, "manifest.json", "Manifest.JSON", "signer.pub", "manifest.json.sig", "\ud800"],
    )  # fmt: skip
    def test_names_that_leave_the_bundle_or_clash_with_the_seal_are_refused(self, path):
        """Absolute, parent, Windows and control-character tricks, and the seal's own names."""
        assert path_fault(path)
        with pytest.raises(NameRefused, match="cannot be in a bundle"):
            describe(path, "0" * 64, 0)

    @pytest.mark.parametrize("paths", [("a.csv", "A.csv"), ("a", "a/b"), ("a", "A/b/c"), ("manifest.json/x",)])
    def test_names_that_no_folder_can_hold_side_by_side_are_refused(self, paths):
        """Two that differ only in case, or a file where a folder is needed."""
        with pytest.raises(NameRefused, match=r"Rename one"):
            manifest_of({}, **dict.fromkeys(paths, b""))
