"""Reading YAML: what it may hold, and the line of everything it says."""

import pytest

from assay.errors import SuiteError
from assay.suite import yaml_text
from assay.suite.yaml_text import read_yaml


def refusal(text: str) -> str:
    with pytest.raises(SuiteError) as caught:
        read_yaml(text, "suite.yaml")
    return str(caught.value)


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a: 1\nb: [1, 2\nc: 3\n", "suite.yaml:3: not valid YAML: expected ',' or ']', but got ':'"),
            ("a: 1\n\tb: 2\n", "suite.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
            ("a: 1\nb: c: d\n", "suite.yaml:2: not valid YAML: mapping values are not allowed here"),
            ("a: 'text\n", "suite.yaml:2: not valid YAML: found unexpected end of stream"),
            ("a: 1\n---\nb: 2\n", "suite.yaml:2: not valid YAML: but found another document"),
            ("a: 1\nb: *nowhere\n", "suite.yaml:2: not valid YAML: found undefined alias 'nowhere'"),
        ],
    )
    def test_an_error_names_file_and_line(self, text: str, expected: str):
        """What the parser finds is told with the line on which it was found."""
        assert refusal(text) == expected

    def test_a_control_character_names_its_line(self):
        """A NUL that slipped in is told by its code and line, although the parser only knows its position."""
        assert refusal("a: 1\nb: x\x00y\n") == r"suite.yaml:2: not valid YAML: the character '\x00' is not allowed"

    def test_half_of_a_surrogate_pair_is_refused(self):
        """Text that cannot be stored as UTF-8 must not reach a run's header."""
        expected = "suite.yaml:2: not valid YAML: half of a surrogate pair is no character; write the character itself"
        assert refusal('a: 1\nb: "\\ud83d"\n') == expected

    @pytest.mark.parametrize("value", ["2020-13-45", "0x_", "9" * 5_000])
    def test_a_value_that_only_looks_like_a_number_or_date_is_refused(self, value: str):
        """YAML guesses types by looks; a guess that fails is an error with a line, not a crash."""
        shown = value[:40]
        assert refusal(f"a: 1\nb: {value}\n") == (
            f"suite.yaml:2: not valid YAML: '{shown}' looks like a number or date and is none; put text in quotes"
        )

    @pytest.mark.parametrize("tag", ["!!python/object:os.system", "!!int", "!!binary", "!secret"])
    def test_tags_are_refused(self, tag: str):
        """A suite is plain values; a tag could make anything else of them."""
        expected = f"suite.yaml:2: not valid YAML: the tag '{tag}' is not allowed; leave it out"
        assert refusal(f"a: 1\nb: {tag} x\n") == expected

    def test_a_byte_order_mark_and_windows_line_ends_change_nothing(self):
        """Editors on Windows add both."""
        source, tree = read_yaml("\ufeffa: 1\r\nb:\r\n  c: 2\r\n", "suite.yaml")
        assert tree == {"a": 1, "b": {"c": 2}}
        assert source.line(("b", "c")) == 3

    def test_unicode_is_kept(self):
        """Any language may stand in a suite."""
        assert read_yaml("a: Grüße 日本語 🎉\n", "suite.yaml")[1] == {"a": "Grüße 日本語 🎉"}


class TestKeys:
    def test_a_key_that_stands_twice_is_refused_with_every_line(self):
        """YAML would silently keep the last one."""
        text = "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\nlist:\n  - {e: 1, e: 2}\na: 4\n"
        assert refusal(text).splitlines() == [
            "suite.yaml:5: key 'c' stands twice",
            "suite.yaml:7: key 'e' stands twice",
            "suite.yaml:8: key 'a' stands twice",
        ]

    @pytest.mark.parametrize(
        ("key", "shown"), [("1", "'1'"), ("yes", "'yes'"), ("2020-01-01", "'2020-01-01'"), ("? [a, b]\n", "a list")]
    )
    def test_a_key_that_yaml_takes_for_something_else_is_refused(self, key: str, shown: str):
        """`on:`, `yes:` and numbers are no text for YAML; a deployment named 35 needs quotes."""
        found = refusal(f"a: 1\n{key}: x\n")
        assert found.startswith(f"suite.yaml:2: key {shown}")
        assert found.endswith("is not text; expected text, in quotes if YAML takes it for something else")


class TestAliases:
    def test_an_alias_stands_for_its_anchor(self):
        """Anchors are a usual way to share text; lines lead to where the text is written."""
        source, tree = read_yaml("a: &shared\n  x: 1\nb: *shared\n", "suite.yaml")
        assert tree == {"a": {"x": 1}, "b": {"x": 1}}
        assert (source.line(("b",)), source.line(("b", "x"))) == (3, 2)

    def test_a_merge_key_adds_what_is_not_said(self):
        """`<<` works; own keys win, and lines lead to where each key is written."""
        source, tree = read_yaml("a: &base\n  x: 1\n  y: 2\nb:\n  <<: *base\n  y: 3\n", "suite.yaml")
        assert tree["b"] == {"x": 1, "y": 3}
        assert (source.line(("b", "x")), source.line(("b", "y"))) == (2, 6)

    def test_an_alias_within_its_own_anchor_is_refused(self):
        """A value that holds itself has no end."""
        expected = "suite.yaml:2: not valid YAML: the alias '*a' stands inside of what it stands for"
        assert refusal("x: 1\ny: &a [1, *a]\n") == expected

    def test_aliases_that_multiply_are_refused_before_they_are_followed(self):
        """The billion laughs: nine lines that would take all memory."""
        lines = ["l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
        lines += [f"l{at}: &l{at} [{', '.join([f'*l{at - 1}'] * 10)}]" for at in range(1, 10)]
        assert refusal("\n".join(lines)) == (
            "suite.yaml:6: not valid YAML: with its aliases followed it exceeds 2,000,000 characters"
        )

    def test_a_long_text_that_aliases_repeat_is_refused(self):
        """What counts is the text that a run would store, not the number of aliases."""
        text = f"a: &a {'x' * 500_000}\nb: [*a, *a, *a, *a]\n"
        assert refusal(text).startswith("suite.yaml:2: not valid YAML: with its aliases followed it exceeds")


class TestBounds:
    @pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "- " * 50_000, "a: " + "{b: " * 5_000])
    def test_deep_nesting_is_refused(self, text: str):
        """No depth of nesting reaches the interpreter's own limit."""
        assert refusal(text) == "suite.yaml:1: not valid YAML: nested more than 20 levels deep"

    def test_depth_is_bounded_exactly(self, monkeypatch: pytest.MonkeyPatch):
        """As deep as the bound says is accepted, one deeper is not."""
        monkeypatch.setattr(yaml_text, "MAX_DEPTH", 4)
        assert read_yaml("a: [[x]]", "suite.yaml")[1] == {"a": [["x"]]}
        assert refusal("a: [[[x]]]") == "suite.yaml:1: not valid YAML: nested more than 4 levels deep"

    def test_a_long_text_is_refused_before_it_is_parsed(self):
        """Parsing takes time in proportion to the text."""
        expected = "suite.yaml:1: 1,000,001 characters; at most 1,000,000 are read"
        assert refusal("[" * 1_000_001) == expected


class TestSourceMap:
    def test_an_unknown_path_has_the_line_of_its_known_beginning(self):
        """A complaint about what is missing points at where it should stand."""
        source, _ = read_yaml("a:\n  - x: 1\n  -\n    y: 2\n", "suite.yaml")
        assert source.line(("a", 1, "z", "deeper")) == 4
        assert source.line(("nowhere",)) == 1
        assert source.knows(("a", 0, "x"))
        assert not source.knows(("a", 2))

    def test_complaints_come_by_line_and_once(self):
        """Two rules may find the same fault."""
        source, _ = read_yaml("a: 1\nb: 2\nc: 3\n", "s.yaml")
        found = source.listed([(("c",), "third"), (("a",), "first"), (("c",), "third"), (("b",), "second")])
        assert found == ["s.yaml:1: first", "s.yaml:2: second", "s.yaml:3: third"]

    def test_no_complaint_refuses_nothing(self):
        """`refuse` may be called with what a check found, even when that is nothing."""
        read_yaml("a: 1\n", "s.yaml")[0].refuse([])
