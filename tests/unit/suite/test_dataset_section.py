"""The section `dataset`: what may stand there, and what contradicts itself."""

import jsonschema
import pytest
import yaml

from assay.errors import SuiteError
from assay.suite.datasets import Column
from assay.suite.loading import load_suite, schema
from assay.suite.models import Suite

SUITE = """\
version: 1
name: demo
defaults: {{model: {{deployment: m}}, user: "x"}}
experiments: [{{name: plain, baseline: true}}]
dataset:
{dataset}
"""


def suite_text(dataset: str) -> str:
    return SUITE.format(dataset="".join(f"  {line}\n" for line in dataset.splitlines()))


def loaded(dataset: str) -> Suite:
    return load_suite(suite_text(dataset))


def complaint(dataset: str) -> str:
    with pytest.raises(SuiteError) as caught:
        loaded(dataset)
    return str(caught.value)


FULL = """\
id: id
columns:
  - id
  - {name: text, from: [Body, body], nulls: refuse}
  - {name: label, from: Label, values: [billing, delivery], default: billing}
  - {name: score, type: number}
other_columns: drop
null_values: [NA, "-"]
max_bad_rows: 3
format: {delimiter: ";", encoding: cp1252, header: [id, Body], skip_lines: 2, sheet: Rows}
connections: [warehouse]
"""


def test_a_name_alone_is_a_column_that_must_be_there():
    """As it always was."""
    assert loaded("columns: [a, b]").dataset.columns == (Column(name="a"), Column(name="b"))


def test_everything_can_be_said_at_once():
    """One name in `from` needs no list."""
    dataset = loaded(FULL).dataset
    assert dataset.column_names == ("id", "text", "label", "score")
    assert dataset.columns[1].names_in_file == ("Body", "body")
    assert dataset.columns[2].names_in_file == ("Label",)
    assert dataset.columns[3].names_in_file == ("score",)
    assert dataset.format.header == ("id", "Body")


def test_a_frozen_suite_reads_back_as_it_was():
    """Runs keep it in their header."""
    suite = loaded(FULL)
    assert Suite.model_validate(suite.model_dump(mode="json", by_alias=True)) == suite


def test_editors_accept_both_forms_of_a_column():
    """The published schema knows them."""
    jsonschema.validate(yaml.safe_load(suite_text(FULL)), schema())
    wrong = yaml.safe_load(suite_text("columns: [{name: a, form: b}]"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("columns: [a, a]", "column 'a' stands twice"),
        ("columns: [{name: a, form: b}]", "unknown key 'form' (did you mean 'from'?)"),
        ("columns: [{from: b}]", "'name' is missing"),
        ("columns: [{name: a, type: int}]", "found 'int'"),
        ("columns: [{name: a, from: x}, {name: b, from: x}]", "columns 'a' and 'b' would both be taken from 'x'"),
        ("columns: [{name: a, from: [x, x]}]", "expected everything once"),
        ("columns: [{name: a, default: 1, nulls: refuse}]", "column 'a' has a default, so no row can lack a value"),
        ("columns: [{name: a, default: c, values: [a, b]}]", "the default of column 'a' is not one of its values"),
        ("columns: [{name: a, default: x, type: number}]", "the default of column 'a' is not of the type 'number'"),
        (
            "columns: [{name: a, default: true, type: integer}]",
            "the default of column 'a' is not of the type 'integer'",
        ),
        ("id: key\ncolumns: [a]\nother_columns: drop", "dataset.columns has no 'key', and other columns are not kept"),
        ("format: {delimiter: ';;'}", "found ';;'"),
        ("format: {delimiter: a}", "expected a sign such as"),
        ("format: {encoding: latin1}", "found 'latin1'"),
        ("format: {skip_lines: -1}", "found -1"),
        ("formats: {}", "unknown key 'formats' (did you mean 'format'?)"),
    ],
)
def test_what_cannot_work_is_told_with_its_line(dataset: str, said: str):
    """Before any file is dropped."""
    found = complaint(dataset)
    assert said in found
    assert found.startswith("suite.yaml:")
