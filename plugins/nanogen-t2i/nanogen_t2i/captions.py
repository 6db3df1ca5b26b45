"""Texts that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload


class Captions(Sequence[str]):
    """`read(0)` ... `read(length - 1)` as a sequence."""

    def __init__(self, length: int, read: Callable[[int], str]):
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(self._length)[index]
        return self._read(places) if isinstance(places, int) else [self._read(place) for place in places]
