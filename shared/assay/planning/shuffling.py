"""Puts the rows of a plan into a seeded random order, for runs that may end before all rows are asked.

Files are often sorted, by label or by date, so the first rows say nothing about the rest. The plan calls this.
"""

from array import array
from itertools import accumulate
from pathlib import Path
from random import Random


def shuffle_lines(file: Path, lengths: "array[int]", seed: int) -> "array[int]":
    """Reorders the lines of `file`, whose lengths in bytes are given; gives the lengths in their new order.

    The same seed and number of lines give the same order. Needs 24 bytes of memory a line, and the file twice on disk.
    """
    starts = array("Q", accumulate(lengths, initial=0))
    order = array("Q", range(len(lengths)))
    Random(f"{seed}:early_stop").shuffle(order)  # noqa: S311 - an order of rows, no secret
    shuffled = file.with_suffix(".shuffled")
    with file.open("rb") as lines, shuffled.open("wb") as written:
        for line in order:
            lines.seek(starts[line])
            written.write(lines.read(lengths[line]))
    shuffled.replace(file)
    return array("Q", (lengths[line] for line in order))
