"""Local datasets, found beside a suite and planned as a run would plan them. Commands that need no storage use this."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from assay.errors import UserError
from assay.planning.datasets import open_dataset
from assay.planning.plan import Planned, build_plan
from assay.planning.preflight import check_columns
from assay.sources.tabular import READERS, is_dataset
from assay.suite.models import Suite


def datasets_beside(folder: Path) -> list[Path]:
    """The datasets in a suite's folder, by name."""
    return [path for path in sorted(folder.iterdir()) if is_dataset(path.name)]


def only_dataset(folder: Path) -> Path:
    """The one dataset in a suite's folder. Raises UserError when there is none, or more than one."""
    found = datasets_beside(folder)
    if len(found) == 1:
        return found[0]
    names = f"found {len(found)}: {', '.join(path.name for path in found)}" if found else "found none"
    raise UserError(
        f"{folder}: expected one dataset ({', '.join(READERS)}) beside the suite, {names}. "
        "Leave one there, or name the file if the command takes one."
    )


@contextmanager
def planned_locally(suite: Suite, text: str, suite_file: str, dataset: Path) -> Iterator[Planned]:
    """The plan of a run of the dataset, its files there while the block runs. Raises UserError as planning does."""
    source = open_dataset(dataset, dataset.name, suite.dataset)
    if source.columns is not None:
        check_columns(suite, text, source.columns, dataset.name, suite_file)
    with TemporaryDirectory(prefix="assay-") as scratch:
        yield build_plan(suite.name, suite, text, source, dataset.name, Path(scratch))
