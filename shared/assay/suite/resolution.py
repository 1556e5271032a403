"""Brings what a person wrote (one file or a folder, a profile, the environment) into the one file that is deployed.

The order: profile over the file, environment over both; then matrices are expanded and packs put under the defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from assay.suite.loading import expanded, load_node, load_suite, suite_digest, valid_as_written
from assay.suite.located import Node, plain, source_of
from assay.suite.models import Suite
from assay.suite.profiles import variables_set, with_environment, with_profile
from assay.suite.yaml_text import SourceMap

WIDTH = 120
_OTHER_BREAKS = frozenset("\r\x85\u2028\u2029")
"""Line ends that YAML reads back as plain ones, unless they are escaped."""


@dataclass(frozen=True)
class ResolvedSuite:
    """What a suite means, the text that is deployed for it, and where everything in it was written."""

    suite: Suite
    text: str
    source: SourceMap


@dataclass(frozen=True)
class WrittenSuite:
    """A suite as a person wrote it. `text`: its one file; None when it is a folder of several."""

    node: Node
    text: str | None = None

    def resolve(self, profile: str = "", environment: Mapping[str, str] | None = None) -> ResolvedSuite:
        """What it means with a profile and an environment. Raises SuiteError with every complaint.

        The text is that of the file itself where nothing else had a say; otherwise it is made, and means the same.
        """
        valid_as_written(self.node)
        around = environment or {}
        node = expanded(with_environment(with_profile(self.node, profile), around))
        suite = load_node(node)
        variables = variables_set(self.node, around)
        text = self.text
        if text is None or profile or variables:
            text = _dumped(node, suite, _origin(profile, variables))
        return ResolvedSuite(suite, text, source_of(node))


def _origin(profile: str, variables: tuple[str, ...]) -> str:
    chosen = f", profile {profile}" if profile else ""
    return f"# Resolved by Assay{chosen}{''.join(f', {name}' for name in variables)}. Change the source instead.\n"


def _dumped(node: Node, suite: Suite, origin: str) -> str:
    """The text of an expanded suite. Raises SuiteError when it is longer than what can be read back."""
    text = origin + yaml.dump(plain(node), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    again = load_suite(text, "the resolved suite")
    if suite_digest(again) != suite_digest(suite):
        raise AssertionError("the resolved suite does not mean what the written one means")
    return text


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and repeats rather than refers."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    plain_style = "|" if "\n" in value else None
    style = '"' if _OTHER_BREAKS.intersection(value) else plain_style
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
