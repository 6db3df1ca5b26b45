"""Contract tests for conditioners."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Conditioner
from nanogen_core.tensors import Batch, Condition, where_null
from nanogen_core.testing.comparison import global_rng_untouched, max_difference


class ConditionerContract:
    """Contract of a conditioner.

    Fixtures:
        conditioner: The conditioner.
        batch: A Batch of at least three different requests.

    Attributes:
        tolerance: Largest allowed difference of a sample's output between two batches (rounding).
    """

    tolerance: float = 1e-4

    def test_implements_the_protocol(self, conditioner: Conditioner) -> None:
        assert isinstance(conditioner, Conditioner)

    def test_conditions_have_the_shape_of_the_spec(self, conditioner: Conditioner, batch: Batch) -> None:
        condition, spec = conditioner.encode(batch), conditioner.spec
        rows, length, width = condition.tokens.shape
        assert (rows, width) == (len(batch.indices), spec.width)
        assert 1 <= length <= spec.length
        assert condition.tokens.dtype == torch.float32

    def test_mask_exists_exactly_if_padded(self, conditioner: Conditioner, batch: Batch) -> None:
        for condition in (conditioner.encode(batch), conditioner.null(2)):
            assert (condition.mask is not None) == conditioner.spec.padded
            if condition.mask is not None:
                assert condition.mask.dtype == torch.bool
                assert condition.mask.shape == condition.tokens.shape[:2]

    def test_mask_of_null_is_all_false(self, conditioner: Conditioner) -> None:
        null = conditioner.null(2)
        assert null.mask is None or not null.mask.any()

    def test_rows_of_null_are_equal(self, conditioner: Conditioner) -> None:
        null = conditioner.null(3)
        assert len(null.tokens) == 3
        assert torch.equal(null.tokens[0], null.tokens[2])
        assert null.tokens.isfinite().all()  # a masked NaN remains NaN in a matrix product

    def test_null_can_replace_any_row(self, conditioner: Conditioner, batch: Batch) -> None:
        count = len(batch.indices)
        dropped = torch.arange(count) == 1
        condition, null = conditioner.encode(batch), conditioner.null(count)
        mixed = where_null(dropped, condition, null)
        assert mixed.tokens.shape[1] == max(condition.tokens.shape[1], null.tokens.shape[1])
        assert torch.equal(_valid(mixed, 1), _valid(null, 1))

    def test_requests_have_different_conditions(self, conditioner: Conditioner, batch: Batch) -> None:
        rows = _rows(conditioner.encode(batch)) + _rows(conditioner.null(1))
        equal = [(i, j) for i in range(len(rows)) for j in range(i) if _same(rows[i], rows[j])]
        assert equal == []

    def test_encoding_is_deterministic(self, conditioner: Conditioner, batch: Batch) -> None:
        with global_rng_untouched():
            first, second = conditioner.encode(batch), conditioner.encode(batch)
        assert torch.equal(first.tokens, second.tokens)

    def test_batch_items_are_independent(self, conditioner: Conditioner, batch: Batch) -> None:
        together, alone = conditioner.encode(batch), conditioner.encode(batch.part(1, 2))
        assert _same(_valid(together, 1), _valid(alone, 0), self.tolerance)

    def test_batch_without_its_input_raises(self, conditioner: Conditioner, batch: Batch) -> None:
        with pytest.raises(NanoGenError):
            conditioner.encode(batch._replace(labels=None, captions=None))


def _valid(condition: Condition, row: int) -> Tensor:
    """Return the unmasked tokens of one row, [L', D]."""
    tokens = condition.tokens[row]
    return tokens if condition.mask is None else tokens[condition.mask[row]]


def _rows(condition: Condition) -> list[Tensor]:
    return [_valid(condition, row) for row in range(len(condition.tokens))]


def _same(first: Tensor, second: Tensor, tolerance: float = 0.0) -> bool:
    return first.shape == second.shape and (not first.numel() or max_difference(first, second) <= tolerance)
