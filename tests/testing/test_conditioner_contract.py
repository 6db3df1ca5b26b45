"""Conditioners that are wrong in one way, and the test of the contract that says so."""

import pytest
import torch
from attrs import evolve
from contracts import failures

from nanogen_core.tensors import Batch, Condition
from nanogen_core.testing import ConditionerContract
from nanogen_data.testing.fakes import TinyTexts, TinyTextsConfig

BATCH = Batch(torch.arange(3), captions=["a red square", "two cats", "a blue car"])


class WrongWidth(TinyTexts):
    def __init__(self, config):
        super().__init__(config)
        self.spec = evolve(self.spec, width=self.spec.width + 1)

    def _texts(self, texts):
        condition = super()._texts(texts)
        return condition._replace(tokens=condition.tokens[..., :-1])


class NoMask(TinyTexts):
    def _texts(self, texts):
        return Condition(super()._texts(texts).tokens)


class VisibleNull(TinyTexts):
    """Shows the first padding token of the empty text."""

    def null(self, count):
        condition = super().null(count)
        return condition._replace(mask=torch.ones_like(condition.mask))


class NanNull(TinyTexts):
    """What an attention over nothing gives for the empty text."""

    def null(self, count):
        condition = super().null(count)
        return condition._replace(tokens=condition.tokens * torch.nan)


class HiddenRequests(TinyTexts):
    def encode(self, batch):
        condition = super().encode(batch)
        return condition._replace(mask=torch.zeros_like(condition.mask))


class RandomNull(TinyTexts):
    def null(self, count):
        condition = super().null(count)
        return condition._replace(tokens=condition.tokens + torch.arange(count)[:, None, None])


class WideNull(TinyTexts):
    """A null condition that does not fit among the others."""

    def null(self, count):
        condition = super().null(count)
        return condition._replace(tokens=condition.tokens.repeat(1, 1, 2))


class Colourblind(TinyTexts):
    def _texts(self, texts):
        return super()._texts(["a square" if text else "" for text in texts])


class Noisy(TinyTexts):
    def encode(self, batch):
        condition = super().encode(batch)
        return condition._replace(tokens=condition.tokens + 0.01 * torch.randn_like(condition.tokens))


class MixesRows(TinyTexts):
    def encode(self, batch):
        condition = super().encode(batch)
        return condition._replace(tokens=condition.tokens - condition.tokens.mean(dim=0))


class BareError(TinyTexts):
    def encode(self, batch):
        return self._texts(list(batch.captions))


BROKEN = {
    WrongWidth: {"conditions_have_the_shape_of_the_spec"},
    NoMask: {"mask_exists_exactly_if_padded", "batch_items_are_independent"},
    VisibleNull: {"mask_of_null_is_all_false"},
    NanNull: {"rows_of_null_are_equal"},
    HiddenRequests: {"requests_have_different_conditions"},
    RandomNull: {"rows_of_null_are_equal"},
    WideNull: {"null_can_replace_any_row"},
    Colourblind: {"requests_have_different_conditions"},
    Noisy: {"encoding_is_deterministic", "batch_items_are_independent"},
    MixesRows: {"batch_items_are_independent"},
    BareError: {"batch_without_its_input_raises"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_conditioner_is_caught(broken):
    assert failures(ConditionerContract, conditioner=broken(TinyTextsConfig()), batch=BATCH) == BROKEN[broken]


def test_the_healthy_conditioner_holds():
    assert failures(ConditionerContract, conditioner=TinyTexts(TinyTextsConfig()), batch=BATCH) == set()


def test_no_requests_give_no_rows():
    null = TinyTexts(TinyTextsConfig()).null(0)
    assert null.tokens.shape[:2] == null.mask.shape == (0, 1)
