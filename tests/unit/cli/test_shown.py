"""What commands print reaches the reader whole."""

from __future__ import annotations

import pytest

from assay.cli.shown import print_table

COLUMNS = ("experiment", "trials", "succeeded", "failed", "input_tokens", "output_tokens", "cost_usd")
CELLS = ("a-name-as-long-as-they-are-in-practice", 30000, 29998, 2, 123456789012, 987654321, "123.456789")


@pytest.mark.parametrize("columns", ["40", "80"])
def test_no_cell_of_a_table_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """A narrow screen makes lines long, and never a name or a number short."""
    monkeypatch.setenv("COLUMNS", columns)
    print_table(COLUMNS, [CELLS])
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == list(COLUMNS)
    assert row.split() == [str(cell) for cell in CELLS]


def test_a_long_reason_stays_on_its_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """So that `grep` finds it."""
    reason = "word " * 100
    print_table(("refused", "reason"), [("inbox/colours/items.csv", reason)])
    assert reason.strip() in capsys.readouterr().out
