"""The scorers of text: `contains` and `regex`."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from assay.repetition import repeats_in_repeats
from assay.scoring.options import ScorerOptions
from assay.scoring.scorers.answers import NotInAnswer, NotInRow, label, text_in_answer, text_in_row
from assay.scoring.scorers.frame import PassOrFail


class ContainsOptions(ScorerOptions):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "apologises", "texts": ["sorry", "apolog"], "require": "any"}]}
    )

    texts: tuple[str, ...] = Field((), description="Texts to look for")
    expected: str | None = Field(None, min_length=1, description="Column with the text to look for, or a list of texts")
    require: Literal["all", "any", "none"] = Field("all", description="How many of them the answer must contain")
    ignore_case: bool = Field(True, description="Whether 'Refund' contains 'refund'")

    @model_validator(mode="after")
    def _one_source(self) -> "ContainsOptions":
        if bool(self.texts) == bool(self.expected):
            raise ValueError("give either texts or the column 'expected'")
        if not all(self.texts):
            raise ValueError("an empty text is in every answer")
        return self


class Contains(PassOrFail[ContainsOptions]):
    """1 when the answer contains all (or any, or none) of the texts that the suite or a column of the row names."""

    plugin = "contains"

    def passes(self, answer: Any, fields: Mapping[str, Any]) -> bool:
        wanted = self.options.texts or _texts_in_row(fields, str(self.options.expected))
        # As it came: white space around an answer may be part of what is looked for.
        found = self._compared(answer if isinstance(answer, str) else text_in_answer(answer))
        inside = [self._compared(text) in found for text in wanted]
        match self.options.require:
            case "all":
                return all(inside)
            case "any":
                return any(inside)
            case "none":
                return not any(inside)

    def _compared(self, text: str) -> str:
        return text.casefold() if self.options.ignore_case else text


class RegexOptions(ScorerOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"pattern": r"Answer: (\w)", "expected": "choice"}]})

    pattern: str | None = Field(None, min_length=1, description="Regular expression; absent: the column holds it")
    expected: str | None = Field(
        None,
        min_length=1,
        description="Column with the text that the group must equal; without 'pattern', with the expression itself",
    )
    group: int | str | None = Field(
        None, description="Group compared with the column, by number or name; absent: the first, or the whole match"
    )
    match: Literal["search", "full"] = Field("search", description="full: the expression must match the whole answer")
    ignore_case: bool = Field(False, description="Whether capitals do not count, in the answer and in the column")

    @model_validator(mode="after")
    def _usable(self) -> "RegexOptions":
        if self.pattern is None and self.expected is None:
            raise ValueError("give a pattern, or the column 'expected' that holds it")
        if self.group is not None and (self.pattern is None or self.expected is None):
            raise ValueError("a group needs 'pattern' and the column 'expected' that it is compared with")
        if self.pattern is not None:
            self._check_group(compiled(self.pattern, self.ignore_case))
        return self

    def _check_group(self, pattern: re.Pattern[str]) -> None:
        group = self.group
        known = [*range(pattern.groups + 1), *pattern.groupindex]
        if group is not None and group not in known:
            raise ValueError(f"the pattern has no group {group!r}. It has: {', '.join(map(str, known))}")


class Regex(PassOrFail[RegexOptions]):
    """1 when a regular expression is found in the answer, else 0; or when a group of it equals what a column says.

    Without a pattern a column of the row holds the expression. Expressions that may take for ever are refused.
    """

    plugin = "regex"

    def passes(self, answer: Any, fields: Mapping[str, Any]) -> bool:
        text = text_in_answer(answer)
        options = self.options
        if options.pattern is None:
            return self._found(_pattern_in_row(fields, str(options.expected), options.ignore_case), text) is not None
        pattern = compiled(options.pattern, options.ignore_case)
        if options.expected is None:
            return self._found(pattern, text) is not None
        wanted = text_in_row(fields, options.expected, "text")
        return self._compared(self._group(pattern, text)) == self._compared(wanted)

    def _found(self, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
        return pattern.fullmatch(text) if self.options.match == "full" else pattern.search(text)

    def _group(self, pattern: re.Pattern[str], text: str) -> str:
        found = self._found(pattern, text)
        group = min(pattern.groups, 1) if self.options.group is None else self.options.group
        value: str | None = found[group] if found else None
        if value is None:
            raise NotInAnswer(f"the answer has no match for {pattern.pattern!r}")
        return value.strip()

    def _compared(self, text: str) -> str:
        return text.casefold() if self.options.ignore_case else text


@lru_cache(maxsize=1_000)
def compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """The expression. Raises ValueError when it is none, or may take for ever."""
    try:
        found = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    if repeats_in_repeats(pattern):
        raise ValueError(f"{pattern!r} repeats a group that itself repeats or has alternatives; it may take for ever")
    return found


def _pattern_in_row(fields: Mapping[str, Any], column: str, ignore_case: bool) -> re.Pattern[str]:
    try:
        return compiled(text_in_row(fields, column, "expression"), ignore_case)
    except ValueError as problem:
        raise NotInRow(f"column '{column}': {problem}") from None


def _texts_in_row(fields: Mapping[str, Any], column: str) -> tuple[str, ...]:
    cell = fields.get(column)
    texts = tuple(text for one in (cell if isinstance(cell, list) else [cell]) if (text := label(one)))
    if not texts:
        raise NotInRow(f"column '{column}' holds no text")
    return texts
