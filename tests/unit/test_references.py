"""Functions by name: what is found, and what is said when nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.references import BadReference, imported, imported_callable


def test_a_name_leads_to_the_object() -> None:
    """Also to one inside of a class."""
    assert imported("json:dumps") is json.dumps
    assert imported("pathlib:Path.exists") is Path.exists


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("json.dumps", "expected package.module:name"),
        ("json:", "expected package.module:name"),
        ("../evil:run", "expected package.module:name"),
        ("no_such_module_here:run", "cannot import no_such_module_here: ModuleNotFoundError"),
        ("json:dump_all", "json has no 'dump_all'"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(reference: str, problem: str) -> None:
    """With what is missing: the form, the module or the name in it."""
    with pytest.raises(BadReference, match=problem) as caught:
        imported(reference)
    assert str(caught.value).startswith(f"'{reference}': ")


def test_a_module_that_ends_the_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script without a guard costs whoever names it, not the host that looks."""
    (tmp_path / "script_of_a_user.py").write_text("raise SystemExit(2)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadReference, match="cannot import script_of_a_user: SystemExit: 2"):
        imported("script_of_a_user:run")


def test_what_cannot_be_called_is_refused() -> None:
    """A constant is no function."""
    with pytest.raises(BadReference, match="expected a function or a class; found str"):
        imported_callable("string:digits")
    assert imported_callable("json:loads") is json.loads
