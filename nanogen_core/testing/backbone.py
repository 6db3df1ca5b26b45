"""What every backbone must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing.comparison import (
    LABELS,
    LATENT,
    TEXTS,
    apart,
    global_state_kept,
    random_condition,
    random_state,
    random_times,
    wake,
)

Build = Callable[..., nn.Module]
ROWS = 3


class BackboneContract:
    """Asks for the fixture `build`: called with `latent=` and `condition=`, it gives the backbone for these specs.

    Often that is `functools.partial(Mine, MineConfig(...))`. Parameters that start at zero are filled before a test
    asks what the output depends on.
    """

    provides: frozenset[str] = frozenset()  # the capability words of its Component
    latent: LatentSpec = LATENT
    conditions: Sequence[ConditionSpec] = (LABELS, TEXTS)
    intermediates: Sequence[str] = ("block.1",)  # block outputs to ask for where it provides "features"
    extras: Mapping[str, int] = {}  # names in `Condition.extras` that it reads, and how many numbers each has
    tolerance: float = 1e-4  # of rows in another batch: matrix products round otherwise there
    effect: float = 1e-5  # the least change of the output that counts as an effect

    def cases(self, build: Build) -> Iterator[tuple[nn.Module, State, Times, Condition]]:
        """The backbone for each condition spec, awake and in evaluation, and three rows of inputs for it."""
        for spec in self.conditions:
            net = build(latent=self.latent, condition=spec).eval()
            wake(net)
            yield net, random_state(self.latent, ROWS), random_times(ROWS), random_condition(spec, ROWS)

    def test_the_output_is_shaped_like_the_input(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            value = net(state, times, condition).value
            assert value.latent.shape == state.latent.shape
            assert _shape(value.cls_token) == _shape(state.cls_token)
            assert value.latent.isfinite().all()

    def test_the_state_is_float32(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            assert net(*inputs).value.latent.dtype == torch.float32

    def test_inputs_are_left_as_they_were(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            before = [state.latent.clone(), times.t.clone(), times.r.clone(), condition.tokens.clone()]
            net(state, times, condition)
            after = [state.latent, times.t, times.r, condition.tokens]
            assert all(map(torch.equal, before, after))

    def test_evaluation_has_no_chance(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            with global_state_kept():
                first, second = net(*inputs).value.latent, net(*inputs).value.latent
            assert torch.equal(first, second)

    def test_batch_items_are_kept_apart(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            alone = net(*(_row(part, 1) for part in inputs)).value.latent
            assert apart(net(*inputs).value.latent[1:2], alone) <= self.tolerance

    def test_masked_tokens_do_not_leak(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            if condition.mask is None:
                continue
            noise = torch.where(condition.mask[..., None], condition.tokens, condition.tokens * -3 + 5)
            outputs = [net(state, times, condition._replace(tokens=tokens)) for tokens in (condition.tokens, noise)]
            assert apart(outputs[0].value.latent, outputs[1].value.latent) <= self.tolerance

    def test_a_null_text_is_not_seen(self, build: Build) -> None:
        """Its mask is all false. Rows of it stand alone, and beside real ones where conditions are dropped."""
        for net, state, times, condition in self.cases(build):
            if condition.mask is None:
                continue
            everywhere, mixed = (_first_rows_masked(condition.mask, count) for count in (ROWS, ROWS - 1))
            for mask in (everywhere, mixed):
                noise = torch.where(mask[..., None], condition.tokens, condition.tokens * -3 + 5)
                pair = [condition._replace(tokens=tokens, mask=mask) for tokens in (condition.tokens, noise)]
                outputs = [net(state, times, given).value.latent for given in pair]
                assert outputs[0].isfinite().all()
                assert apart(*outputs) <= self.tolerance
            rows = [net(state, times, condition._replace(mask=mask)).value.latent[:-1] for mask in (everywhere, mixed)]
            assert apart(*rows) <= self.tolerance

    def test_a_null_text_has_finite_derivatives(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            if condition.mask is None:
                continue
            null = condition._replace(mask=_first_rows_masked(condition.mask, ROWS - 1))
            _everything(net(state, times, null)).backward()  # type: ignore[no-untyped-call]
            gradients = [(name, p.grad) for name, p in net.named_parameters() if p.grad is not None]
            assert [name for name, gradient in gradients if not gradient.isfinite().all()] == []
            if "jvp" in self.provides:
                assert all(part.isfinite().all() for part in _along_time(net, state, times, null))

    def test_the_condition_matters(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            other = condition._replace(tokens=condition.tokens.roll(1, dims=-1))
            assert self._moves(net, (state, times, condition), (state, times, other))

    def test_the_state_matters(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            assert self._moves(net, (state, times, condition), (random_state(self.latent, 3, "b"), times, condition))

    def test_time_matters(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            later = Times(times.t - 0.05, times.r - 0.05)  # the same interval, so that t itself is what matters
            assert self._moves(net, (state, times, condition), (state, later, condition))

    def test_r_matters_exactly_where_stated(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            instant = Times(times.t, times.t)
            moved = self._moves(net, (state, times, condition), (state, instant, condition))
            assert moved == ("two-time" in self.provides)

    def test_every_number_of_the_extras_matters(self, build: Build) -> None:
        numbers = [(name, width, number) for name, width in self.extras.items() for number in range(width)]
        for net, state, times, condition in self.cases(build):
            for name, width, number in numbers:
                half = torch.full((ROWS, width), 0.5)
                other = half + 0.25 * F.one_hot(torch.tensor(number), width)
                pair = [(state, times, condition._replace(extras={name: values})) for values in (half, other)]
                assert self._moves(net, *pair)

    def test_every_parameter_gets_a_gradient(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            _everything(net(*inputs)).backward()  # type: ignore[no-untyped-call]
            trained = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
            assert [name for name, p in trained if p.grad is None or not p.grad.isfinite().all()] == []

    def test_intermediates_are_image_tokens(self, build: Build) -> None:
        self._only_with("features")
        for net, *inputs in self.cases(build):
            features = net(*inputs, intermediates=self.intermediates).features
            assert set(features) == set(self.intermediates)
            cells = self.latent.height * self.latent.width
            assert all(f.ndim == 3 and len(f) == ROWS and cells % f.shape[1] == 0 for f in features.values())

    def test_heads_are_shaped_like_the_value(self, build: Build) -> None:
        self._only_with("internal-head")
        for net, state, times, condition in self.cases(build):
            heads = net(state, times, condition).heads
            assert heads
            assert {head.latent.shape for head in heads.values()} == {state.latent.shape}

    def test_forward_derivatives_exist(self, build: Build) -> None:
        self._only_with("jvp")
        for net, state, times, condition in self.cases(build):
            velocity, slope = _along_time(net, state, times, condition)
            assert velocity.isfinite().all()
            assert slope.abs().max() > 0

    def _moves(self, net: nn.Module, first: Sequence[Any], second: Sequence[Any]) -> bool:
        with torch.no_grad():
            return apart(net(*first).value.latent, net(*second).value.latent) > self.effect

    def _only_with(self, word: str) -> None:
        if word not in self.provides:
            pytest.skip(f"it does not provide {word!r}")


def _shape(cls_token: Tensor | None) -> tuple[int, ...] | None:
    return None if cls_token is None else tuple(cls_token.shape)


def _first_rows_masked(mask: Tensor, count: int) -> Tensor:
    """The mask [B, L] with its first `count` rows all false."""
    return mask & (torch.arange(len(mask)) >= count)[:, None]


def _row(part: Any, row: int) -> Any:
    """One row of a named tuple of tensors."""
    if isinstance(part, Condition):
        return part.map(lambda tensor: tensor[row : row + 1])
    return type(part)(*(None if field is None else field[row : row + 1] for field in part))


def _everything(prediction: Prediction) -> Tensor:
    """A scalar that depends on all that was predicted."""
    states = [prediction.value, *prediction.heads.values()]
    tensors = [tensor for state in states for tensor in state if tensor is not None]
    return torch.stack([tensor.square().mean() for tensor in tensors]).sum()


def _along_time(net: nn.Module, state: State, times: Times, condition: Condition) -> tuple[Tensor, Tensor]:
    """The prediction and its derivative by t, as MeanFlow takes it."""

    def predict(t: Tensor) -> Tensor:
        value: Tensor = net(state, Times(t, times.r), condition).value.latent
        return value

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # the one that has forward derivatives
        velocity, slope = torch.func.jvp(predict, (times.t,), (torch.ones_like(times.t),))  # type: ignore[misc]
    return velocity, slope
