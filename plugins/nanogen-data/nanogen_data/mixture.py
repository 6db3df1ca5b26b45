"""Several roots as one dataset, drawn by weight. A root is one source of data, an entry of `dataset.roots`.

An epoch has N draws, where N is the number of examples of all roots. Root r has the share w_r of the total weight, and
a quota of N * w_r draws in every epoch. Quotas are rounded to whole numbers with the sum N (largest remainders). The
draws of a root go through its examples in passes, each in a new random order. A pass may continue in the next epoch.
After each epoch, the numbers of draws of two examples of a root therefore differ by at most 1. Within an epoch, the
draws of all roots are shuffled together.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar

import attrs
from attrs import frozen

from nanogen_core.errors import DataError, listing
from nanogen_core.protocols import Example, Examples
from nanogen_data.roots import Root, is_url, normal
from nanogen_files.errors import counted


@frozen
class Mixing:
    """The sizes and weights of the roots of a split.

    Args:
        names: Paths of the roots.
        sizes: Number of examples of each root.
        weights: Weight of each root.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def starts(self) -> list[int]:
        """The index of the first example of each root."""
        return list(accumulate(self.sizes, initial=0))[:-1]

    @property
    def quotas(self) -> tuple[int, ...]:
        """The number of draws of each root in an epoch. Raises DataError if a root has none."""
        total, weight = sum(self.sizes), sum(self.weights)
        exact = [total * each / weight for each in self.weights]
        counts = [int(each) for each in exact]
        by_remainder = sorted(range(len(exact)), key=lambda root: (counts[root] - exact[root], root))
        for root in by_remainder[: total - sum(counts)]:
            counts[root] += 1
        for name, count, expected in zip(self.names, counts, exact, strict=True):
            if not count:
                raise DataError(
                    f"The weight of the root {name} gives it {expected:.2g} draws in an epoch of {total} draws, so it "
                    "would never be read: raise its weight, or remove it from `dataset.roots`."
                )
        return tuple(counts)

    def rows(self, index: int) -> range:
        """Return the indices of all examples of the root that contains the example `index`."""
        root = self.root_of(index)
        return range(self.starts[root], self.starts[root] + self.sizes[root])

    def root_of(self, index: int) -> int:
        """Return the position, in the list of roots, of the root that contains the example `index`."""
        return bisect_right(self.starts, index) - 1

    def facts(self) -> list[dict[str, Any]]:
        """Return what a run records of each root.

        These are its path, number of examples, weight, number of draws per epoch, and share of all draws.
        """
        total = sum(self.sizes)
        return [
            {"path": name, "examples": size, "weight": weight, "draws": draws, "share": draws / total}
            for name, size, weight, draws in zip(self.names, self.sizes, self.weights, self.quotas, strict=True)
        ]

    def __str__(self) -> str:
        parts = [
            f"{fact['path']}: {fact['examples']:,} examples, share {fact['share']:.2%} "
            f"({fact['draws'] / fact['examples']:.3g} passes an epoch)"
            for fact in self.facts()
        ]
        return f"{counted(len(parts), 'root')}, {sum(self.sizes):,} draws an epoch. {'; '.join(parts)}."


class Mixture:
    """The examples of several roots, one root after another.

    The attribute `mixing` says how often training draws from each root.

    Args:
        parts: The examples of each root.
        roots: Path and weight of each root.
    """

    def __init__(self, parts: Sequence[Examples], roots: Sequence[Root]):
        self.parts = tuple(parts)
        empty = next((root.path for part, root in zip(parts, roots, strict=True) if not len(part)), None)
        if empty is not None:
            raise DataError(f"The root {empty} has no examples in this split: correct it in `dataset.roots`.")
        self.mixing = Mixing(
            tuple(root.path for root in roots),
            tuple(len(part) for part in parts),
            tuple(root.weight for root in roots),
        )
        self._starts = self.mixing.starts
        limits = [part.max_corrupt for part in parts if hasattr(part, "max_corrupt")]
        if limits:
            self.max_corrupt = min(limits)
        for method in ("caption", "files", "remote_files"):  # optional methods of the protocol
            if all(hasattr(part, method) for part in parts):
                setattr(self, method, getattr(self, f"_{method}"))

    def __len__(self) -> int:
        return sum(self.mixing.sizes)

    def __getitem__(self, index: int) -> Example:
        root, row = self._locate(index)
        return self.parts[root][row]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """Read several examples, the examples of a root together."""
        places = [self._locate(index) for index in indices]
        found: dict[tuple[int, int], Example] = {}
        for root, part in enumerate(self.parts):
            rows = [row for of, row in places if of == root]
            many = getattr(part, "__getitems__", None)
            examples = many(rows) if many is not None and rows else [part[row] for row in rows]
            found.update({(root, row): example for row, example in zip(rows, examples, strict=True)})
        return [found[place] for place in places]

    def _locate(self, index: int) -> tuple[int, int]:
        root = bisect_right(self._starts, index) - 1
        return root, index - self._starts[root]

    def _caption(self, index: int) -> Any:
        root, row = self._locate(index)
        return self.parts[root].caption(row)  # type: ignore[attr-defined]

    def _files(self) -> list[Any]:
        return [file for part in self.parts for file in part.files()]  # type: ignore[attr-defined]

    def _remote_files(self) -> list[Any]:
        return [file for part in self.parts for file in part.remote_files()]  # type: ignore[attr-defined]


class RootOptions(Protocol):
    """Options of a dataset that reads one root or several."""

    @property
    def root(self) -> str | None: ...

    @property
    def roots(self) -> tuple[Root, ...]: ...


Options = TypeVar("Options", bound=RootOptions)


class RootsDataset(Generic[Options]):
    """Base class of datasets with the options `root` and `roots`. A subclass implements how one root is read.

    Args:
        config: The options.
    """

    def __init__(self, config: Options):
        self._config = config

    @cached_property
    def _members(self) -> tuple[Any, ...]:
        """One dataset for each of `roots`; empty for a dataset with one root."""
        return tuple(self._with(attrs.evolve(self._config, root=each.path, roots=())) for each in self._config.roots)  # type: ignore[misc]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The class names of the root, or of the first of `roots`, in label order."""
        return tuple(self._members[0].classes) if self._members else self._classes()

    def open(self, split: str, image_size: int, view: str) -> Examples:
        """Open a split. With `roots`, return a `Mixture`, unless a separate option names the data of this split.

        Args:
            split: `"train"` or `"val"`.
            image_size: Not used: images have their original size.
            view: `"labels"` or `"captions"`.

        Raises:
            DataError: Data are missing or damaged, two roots are the same folder, or, for the view `"labels"`, the
                roots have different classes.
        """
        if not self._members or self._has_own(split):
            return self._open(split, view)
        self._refuse_equal()
        if view == "labels":
            self._refuse_other_classes()
        return Mixture([member.open(split, image_size, view) for member in self._members], self._config.roots)

    def _with(self, config: Options) -> RootsDataset[Options]:
        """Return a dataset of this kind with other options."""
        return type(self)(config)

    def _classes(self) -> tuple[str, ...]:
        """Return the class names of the root."""
        return ()

    def _open(self, split: str, view: str) -> Examples:
        """Open a split of the root."""
        raise NotImplementedError

    def _has_own(self, split: str) -> bool:
        """Return whether an option of its own names the data of a split, for all roots."""
        return False

    def _refuse_equal(self) -> None:
        """Raise DataError if links make two roots the same folder."""
        places: dict[str, str] = {}
        for root in self._config.roots:
            place = root.path if is_url(root.path) else os.path.realpath(normal(root.path))
            if place in places:
                raise DataError(
                    f"The roots {places[place]} and {root.path} are the same data ({place}), so their examples would "
                    "count twice: keep one of them in `dataset.roots`."
                )
            places[place] = root.path

    def _refuse_other_classes(self) -> None:
        """Raise DataError if the roots have different classes: a label would have several meanings."""
        first = self._members[0].classes
        for member, root in zip(self._members, self._config.roots, strict=True):
            if tuple(member.classes) != tuple(first):
                odd = listing(sorted(set(member.classes) ^ set(first))[:5]) or "in another order"
                raise DataError(
                    f"The classes of the root {root.path} differ from those of {self._config.roots[0].path} ({odd}), "
                    "so labels would have two meanings. Give all roots the same classes."
                )


def mixing_of(examples: Any) -> Mixing | None:
    """Return the sizes and weights of the roots; None for a dataset without `roots`."""
    mixing: Mixing | None = getattr(examples, "mixing", None)
    return mixing


def parts_of(examples: Any) -> Iterator[Any]:
    """Yield the examples of each root of a `Mixture`. Yield any other `examples` unchanged, as a single part."""
    yield from getattr(examples, "parts", None) or (examples,)
