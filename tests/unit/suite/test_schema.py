"""The JSON Schema that editors use."""

import copy
import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

from assay.planning.suite_schema import suite_schema
from assay.suite.loading import load_suite

schema = cache(suite_schema)


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


CONFIG = Path(__file__).resolve().parents[3] / "config"
SAMPLES = sorted(CONFIG.glob("*/suite.yaml"))


@pytest.fixture(name="sample")
def _sample() -> dict:
    sample = yaml.safe_load((CONFIG / "support-triage" / "suite.yaml").read_text(encoding="utf-8"))
    return sample | {"quota": {"gpt-5.4-mini": {"requests_per_minute": 600, "tokens_per_minute": 100_000}}}


def test_is_valid_itself():
    """A schema with a mistake would accept anything."""
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_file_for_editors_is_up_to_date():
    """`config/suite.schema.json` says what the models say."""
    assert json.loads((CONFIG / "suite.schema.json").read_text(encoding="utf-8")) == schema()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name)
def test_accepts_the_sample_suites(path: Path):
    """What loads must not be underlined in an editor."""
    text = path.read_text(encoding="utf-8")
    assert load_suite(text, str(path)).name == path.parent.name
    validator().validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (("scorers", 0), "expcted"),
        ((), "experimants"),
        (("dataset",), "coloumns"),
        (("defaults", "model"), "temprature"),
        (("experiments", 0), "base_line"),
        (("quota", "gpt-5.4-mini"), "request_per_minute"),
    ],
)
def test_rejects_a_mistyped_key(sample: dict, section: tuple[str | int, ...], key: str):
    """Editors underline what the loader would refuse."""
    validator().validate(sample)
    broken = copy.deepcopy(sample)
    at = broken
    for part in section:
        at = at[part]
    at[key] = 1
    with pytest.raises(jsonschema.ValidationError, match=key):
        validator().validate(broken)


@pytest.mark.parametrize(
    ("key", "plugin", "is_right"),
    [
        ("scorers", {"plugin": "contains", "texts": ["sorry"]}, True),
        ("scorers", {"plugin": "contains", "text": ["sorry"]}, False),
        ("scorers", {"plugin": "label_match"}, False),
        ("scorers", {"plugin": "politeness", "words": 3}, True),
        ("scorers", {"words": 3}, False),
        ("aggregators", {"plugin": "latency", "quantiles": [0.5]}, True),
        ("aggregators", {"plugin": "latency", "quantiles": ["half"]}, False),
        ("comparers", {"plugin": "win_rate", "score": "correct", "goal": "less"}, False),
        ("middleware", {"plugin": "audit", "content": "redacted"}, True),
        ("middleware", {"plugin": "audit", "contents": "redacted"}, False),
    ],
)
def test_options_of_built_in_plugins_are_checked(sample: dict, key: str, plugin: dict, is_right: bool):
    """Those of others are theirs to know; in packs and profiles as in the suite itself."""
    for place in (sample, {"packs": {"p": {}}}, {"profiles": {"p": {}}}):
        suite = copy.deepcopy(sample) | copy.deepcopy(place)
        within = next((suite[one]["p"] for one in ("packs", "profiles") if one in place), suite)
        within[key] = [plugin]
        assert validator().is_valid(suite) is is_right
