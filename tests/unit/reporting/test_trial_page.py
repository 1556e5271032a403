"""The trials as the page carries them: all of them, bounded, and harmless inside the page."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from assay.reporting import trial_page
from assay.reporting.html import render_html
from assay.reporting.trial_page import PackedTrials, pack_trials
from assay.reporting.trial_table import trial_table
from builders import failed, outcome, plan, response, row, run_header, suite
from evaluations import evaluate, write_results

HOSTILE = "</script><script>alert(1)</script>"


def packed(folder: Path, rows: int = 3, text: str = "") -> PackedTrials:
    of = suite(("plain", "short"))
    trials = [
        *(outcome(number, "plain", None, response(text or f"plain {number}")) for number in range(1, rows + 1)),
        *(outcome(number, "short", {"correct": 0.0}, response(text or "short")) for number in range(1, rows)),
        failed(rows, "short", message=HOSTILE),
    ]
    planned = plan(of, rows)
    dataset = [row(number, body=HOSTILE, tags=["a", "b"], note=None) for number in range(1, rows + 1)]
    contents = evaluate(run_header(of), of, planned, trials, (), 0, dataset)
    write_results(trials, of, folder, planned)
    return pack_trials(trial_table(folder, contents), dataset, contents)


def unpacked(of: PackedTrials) -> dict[str, Any]:
    return dict(json.loads(gzip.decompress(base64.b64decode(of.packed))))


def test_every_trial_is_there_with_its_row(tmp_path: Path) -> None:
    """Rule: what the script reads is what the run has."""
    content = unpacked(packed(tmp_path))

    assert content["experiments"] == ["plain", "short"]
    assert content["trials"]["row"] == [0, 0, 1, 1, 2, 2]
    assert content["trials"]["answers"] == [["plain 1", "short", "plain 2", "short", "plain 3", ""]]
    assert content["trials"]["scores"] == [[1, 0, 1, 0, 1, None]]
    assert content["trials"]["failure"][-1] == "server_error"
    assert content["trials"]["message"][-1] == HOSTILE
    assert content["rows"]["columns"] == ["queue", "body", "tags", "note"]
    assert content["rows"]["fields"][0] == ["billing", HOSTILE, '["a", "b"]', ""]
    assert content["rows"]["id"] == ["T-0001", "T-0002", "T-0003"]


def test_the_same_trials_give_the_same_text(tmp_path: Path) -> None:
    """Rule: the page has the same bytes whenever it is made."""
    (tmp_path / "again").mkdir()

    assert packed(tmp_path) == packed(tmp_path / "again")


def test_nothing_of_a_trial_stands_readable_in_the_page(tmp_path: Path) -> None:
    """Rule: what is Base64 can end no element."""
    assert set(packed(tmp_path).packed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def test_texts_are_cut_until_the_page_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the ceiling holds for whatever was answered, and the page says where it cut."""
    monkeypatch.setattr(trial_page, "MOST_CHARACTERS", 8_000)

    of = packed(tmp_path, rows=10, text="x" * 599)

    content = unpacked(of)
    assert of.text_limit == 250
    assert len(json.dumps(content)) < 10_000
    assert content["trials"]["answers"][0][0] == "x" * 250 + " … (349 more characters)"


def test_the_page_says_which_trials_it_shows(tmp_path: Path) -> None:
    """Rule: a part does not pass for the whole; without trials there is no such section."""
    of = suite(("plain", "short"))
    contents = evaluate(run_header(of), of, plan(of, 3), [outcome(1)], (), 0)
    some = PackedTrials("H4sI", 4, "2 of 3 rows are shown.", 120)

    page = render_html(contents, some)

    assert "2 of 3 rows are shown." in page
    assert "Texts are cut after 120 characters" in page
    assert "This table needs JavaScript" in page
    assert 'id="trials-packed"' not in render_html(contents)
