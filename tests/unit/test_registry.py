"""Plugins by name, with their options."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from assay.registry import Plugin, Registry, UnknownName, did_you_mean


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1


def made_of(options: Options) -> str:
    return "x" * options.size


REGISTRY = Registry("scorer", Plugin("exact_match", Options, made_of), Plugin("json_valid", Options, made_of))


def test_a_plugin_is_made_from_raw_options() -> None:
    """Options are validated by the plugin's own model, defaults included."""
    assert REGISTRY.make("exact_match", {"size": "3"}) == "xxx"
    assert REGISTRY.make("exact_match", {}) == "x"


def test_wrong_options_are_refused() -> None:
    """An unknown or unfit option never reaches the plugin."""
    with pytest.raises(ValidationError, match="colour"):
        REGISTRY.make("exact_match", {"colour": "red"})
    with pytest.raises(ValidationError, match="size"):
        REGISTRY.make("exact_match", {"size": "large"})


def test_an_unknown_name_lists_the_known_ones_and_the_closest() -> None:
    """The message reads as a sentence: no quotes around it, as KeyError would put."""
    with pytest.raises(UnknownName) as caught:
        REGISTRY.make("exact-match", {})
    assert (
        str(caught.value)
        == "unknown scorer 'exact-match' (did you mean 'exact_match'?). Known: exact_match, json_valid"
    )


def test_names_keep_the_order_in_which_plugins_were_given() -> None:
    """Documentation lists them as the code does."""
    assert REGISTRY.names == ("exact_match", "json_valid")


def test_a_plugin_is_found_with_its_options_model() -> None:
    """Preflight checks options without making the plugin."""
    assert REGISTRY.find("json_valid").options is Options


@pytest.mark.parametrize(
    ("name", "expected"),
    [("exact_mach", " (did you mean 'exact_match'?)"), ("nothing-like-it", ""), ("", "")],
)
def test_a_suggestion_is_made_only_when_it_is_close(name: str, expected: str) -> None:
    """A far-fetched suggestion misleads."""
    assert did_you_mean(name, REGISTRY.names) == expected
