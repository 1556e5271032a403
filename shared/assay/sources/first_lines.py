"""The line on which each id stood first, in little memory for millions. `checking.py` finds double ids with it."""

import hashlib
from array import array

FIRST_SLOTS = 1 << 12
LINE_BITS = 40


class FirstLines:
    """A hash table of digests of 88 bits, 16 bytes a slot: a dict would take seven times the memory."""

    def __init__(self) -> None:
        self._count = 0
        self._make(FIRST_SLOTS)

    def of(self, row_id: str, line: int) -> int:
        """The line on which the id stood first; that is `line` when it is new."""
        digest = hashlib.blake2b(row_id.encode(), digest_size=11).digest()
        key, check = int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
        slot = key & self._mask
        while mark := self._marks[slot]:
            if self._keys[slot] == key and mark >> LINE_BITS == check:
                return mark & ((1 << LINE_BITS) - 1)
            slot = (slot + 1) & self._mask
        self._keys[slot], self._marks[slot] = key, check << LINE_BITS | line
        self._count += 1
        if self._count * 3 > len(self._marks) * 2:
            self._grow()
        return line

    def _make(self, slots: int) -> None:
        self._keys, self._marks = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots))
        self._mask = slots - 1

    def _grow(self) -> None:
        keys, marks = self._keys, self._marks
        self._make(2 * len(marks))
        for key, mark in zip(keys, marks, strict=True):
            if mark:
                slot = key & self._mask
                while self._marks[slot]:
                    slot = (slot + 1) & self._mask
                self._keys[slot], self._marks[slot] = key, mark
