"""Images of a row: which addresses a prompt may make, and what they count as."""

from typing import Any

import pytest

from assay.errors import SuiteError
from assay.llm.base import ChatImage
from assay.planning.preflight import checked_suite, columns_used
from assay.planning.prompts import Prompt, compile_prompts
from assay.planning.templates import PromptError
from assay.suite.models import Experiment
from assay.tokens.estimate import estimate_tokens

SUITE = """\
version: 1
name: demo
defaults:
  model: {deployment: m}
experiments:
  - name: plain
    baseline: true
    user: What is this?
"""


def prompt(*images: Any) -> Prompt:
    criterion = {"name": "answer", "system": "Look.", "user": "What is {{ thing }}?", "images": images}
    (made,) = compile_prompts(Experiment(name="plain", model={"deployment": "m"}, criteria=[criterion]))
    return made


def shown(*images: Any, **fields: Any) -> tuple[ChatImage, ...]:
    *before, last = prompt(*images).render({"thing": "this", **fields})
    assert not any(message.images for message in before)
    return last.images


def refusal(photo: str, **settings: Any) -> str:
    with pytest.raises(PromptError) as caught:
        shown({"url": "{{ photo }}", **settings}, photo=photo)
    return str(caught.value)


def test_images_stand_with_the_user_prompt_in_their_order():
    """A template alone is one from the web."""
    found = shown(
        "{{ a }}", {"url": "blob://photos/{{ b }}", "containers": ["photos"]}, a="https://x.org/1", b="d/2.png"
    )
    assert [one.url for one in found] == ["https://x.org/1", "blob://photos/d/2.png"]


@pytest.mark.parametrize("photo", ["", "  "])
def test_a_row_without_an_image_shows_none(photo: str):
    """Not every case has a photo."""
    assert shown("{{ photo }}", photo=photo) == ()


@pytest.mark.parametrize(
    "photo",
    [
        *("http://x.org/1.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "ftp://x.org/1", "photos/1.png"),
        *("https://", "https:///etc/passwd", "https://user:word@x.org/1", "https://x.org/a b", "HTTPS//x.org"),
        *("blob://photos", "blob:///1.png", "BLOB://photos/1.png"),
    ],
)
def test_what_is_no_address_of_an_image_is_refused(photo: str):
    """The service fetches what it is given, and storage is read only by the rules below."""
    assert "is no image's address; expected https://... or blob://container/name" in refusal(photo)


@pytest.mark.parametrize(
    "photo", ["blob://photos/../runs/x", "blob://photos//x", "blob://photos/a\\b", "blob://photos/./x"]
)
def test_a_blob_s_name_leads_nowhere_else(photo: str):
    """A row must not get out of the container."""
    assert "is no blob's name" in refusal(photo, containers=["photos"])


def test_a_row_cannot_name_a_container_that_the_suite_does_not_allow():
    """Other suites' data lie in the same account."""
    assert "does not allow images from the container 'runs'. It allows: photos" in refusal(
        "blob://runs/x.png", containers=["photos"]
    )
    assert "It allows: none; name it in 'containers'" in refusal("blob://photos/x.png")


def test_an_address_without_end_is_refused():
    """It would be paid for."""
    assert "2,014 characters; at most 2,000 are sent" in refusal("https://x.org/" + "a" * 2_000)


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [({"detail": "low"}, 85), ({}, 1_445), ({"detail": "high"}, 1_445), ({"tokens": 48_169}, 48_169)],
)
def test_an_image_counts_as_prompt(settings: dict[str, Any], tokens: int):
    """At most as many as GPT-4o counts, or what the suite says."""
    fields = {"thing": "this", "photo": "https://x.org/1"}
    with_image = prompt({"url": "{{ photo }}", **settings}).counted(fields)
    without = prompt().counted(fields)
    assert estimate_tokens(with_image) - estimate_tokens(without) == tokens + 4


@pytest.mark.parametrize("container", ["inbox", "suites", "runs", "quarantine", "bundles", "quota", "audit", "cache"])
def test_no_suite_may_show_a_model_what_assay_keeps(container: str):
    """There lie the data of all suites."""
    with pytest.raises(SuiteError, match=f"'{container}' is one of Assay's own containers"):
        checked_suite(SUITE + f"    images: [{{url: 'blob://{container}/x', containers: [{container}]}}]\n")


def test_the_columns_of_an_image_s_address_are_needed():
    """And its faults are told at its line."""
    assert columns_used(checked_suite(SUITE + "    images: ['{{ photo }}']\n")) == {"photo"}
    with pytest.raises(SuiteError, match=r"suite\.yaml:10: experiment 'plain': line 1 of the prompt"):
        checked_suite(SUITE + "    images:\n      - url: '{{ photo|uper }}'\n")


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ("{a: 1}", "experiments.0.images: found a mapping; expected a list"),
        ("[{url: x, contaners: [a]}]", "unknown key 'contaners' (did you mean 'containers'?)"),
        (
            "[{url: x, containers: [A_B]}]",
            "'A_B' is no container; expected 3 to 63 lower-case letters, digits and dashes",
        ),
        ("[{detail: low}]", "'url' is missing in experiments.0.images.0"),
        ("[a, a, a, a, a, a, a, a, a, a, a]", "experiments.0.images: found a list of 11"),
    ],
)
def test_what_is_no_list_of_images_is_told_with_its_line(images: str, problem: str):
    """In the words of the suite."""
    with pytest.raises(SuiteError) as caught:
        checked_suite(SUITE + f"    images: {images}\n")
    assert str(caught.value).startswith("suite.yaml:9: ")
    assert problem in str(caught.value)
