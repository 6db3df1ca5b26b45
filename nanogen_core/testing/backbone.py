"""Contract tests for backbones."""

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
    fill_zero_parameters,
    global_rng_untouched,
    max_difference,
    random_condition,
    random_state,
    random_times,
)

Build = Callable[..., nn.Module]
ROWS = 3


class BackboneContract:
    """Contract of a backbone. Parameters that are initialised to zero are filled with noise before the tests.

    Fixtures:
        build: Callable `build(latent=LatentSpec, condition=ConditionSpec)` that returns the backbone, such as
            `functools.partial(Mine, MineConfig(...))`.

    Attributes:
        provides: Capabilities of the Component.
        latent: Shape of the latents to test with.
        conditions: Shapes of the conditions to test with.
        intermediates: Block outputs to request if the backbone provides "features" or "token-times".
        extras: Name in `Condition.extras` that the backbone reads -> number of values per sample.
        tolerance: Largest allowed difference of outputs that must be equal up to rounding.
        effect: Smallest output difference that counts as a dependence on an input.
    """

    provides: frozenset[str] = frozenset()
    latent: LatentSpec = LATENT
    conditions: Sequence[ConditionSpec] = (LABELS, TEXTS)
    intermediates: Sequence[str] = ("block.1",)
    extras: Mapping[str, int] = {}
    tolerance: float = 1e-4
    effect: float = 1e-5

    def cases(self, build: Build) -> Iterator[tuple[nn.Module, State, Times, Condition]]:
        """Yield, for each condition spec, the backbone in evaluation mode and three rows of inputs."""
        for spec in self.conditions:
            net = build(latent=self.latent, condition=spec).eval()
            fill_zero_parameters(net)
            yield net, random_state(self.latent, ROWS), random_times(ROWS), random_condition(spec, ROWS)

    def test_output_has_the_shape_of_the_input(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            value = net(state, times, condition).value
            assert value.latent.shape == state.latent.shape
            assert _shape(value.cls_token) == _shape(state.cls_token)
            assert value.latent.isfinite().all()

    def test_output_is_float32(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            assert net(*inputs).value.latent.dtype == torch.float32

    def test_inputs_are_not_modified(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            before = [state.latent.clone(), times.t.clone(), times.r.clone(), condition.tokens.clone()]
            net(state, times, condition)
            after = [state.latent, times.t, times.r, condition.tokens]
            assert all(map(torch.equal, before, after))

    def test_evaluation_is_deterministic(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            with global_rng_untouched():
                first, second = net(*inputs).value.latent, net(*inputs).value.latent
            assert torch.equal(first, second)

    def test_batch_items_are_independent(self, build: Build) -> None:
        for net, *inputs in self.cases(build):
            alone = net(*(_row(part, 1) for part in inputs)).value.latent
            assert max_difference(net(*inputs).value.latent[1:2], alone) <= self.tolerance

    def test_masked_tokens_have_no_effect(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            if condition.mask is None:
                continue
            noise = torch.where(condition.mask[..., None], condition.tokens, condition.tokens * -3 + 5)
            outputs = [net(state, times, condition._replace(tokens=tokens)) for tokens in (condition.tokens, noise)]
            assert max_difference(outputs[0].value.latent, outputs[1].value.latent) <= self.tolerance

    def test_null_text_has_no_effect(self, build: Build) -> None:
        """Test null rows (all-false mask) alone, and in a batch with other rows as after condition dropout."""
        for net, state, times, condition in self.cases(build):
            if condition.mask is None:
                continue
            everywhere, mixed = (_first_rows_masked(condition.mask, count) for count in (ROWS, ROWS - 1))
            for mask in (everywhere, mixed):
                noise = torch.where(mask[..., None], condition.tokens, condition.tokens * -3 + 5)
                pair = [condition._replace(tokens=tokens, mask=mask) for tokens in (condition.tokens, noise)]
                outputs = [net(state, times, given).value.latent for given in pair]
                assert outputs[0].isfinite().all()
                assert max_difference(*outputs) <= self.tolerance
            rows = [net(state, times, condition._replace(mask=mask)).value.latent[:-1] for mask in (everywhere, mixed)]
            assert max_difference(*rows) <= self.tolerance

    def test_null_text_has_finite_derivatives(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            if condition.mask is None:
                continue
            null = condition._replace(mask=_first_rows_masked(condition.mask, ROWS - 1))
            _scalar_of_all_outputs(net(state, times, null)).backward()  # type: ignore[no-untyped-call]
            gradients = [(name, p.grad) for name, p in net.named_parameters() if p.grad is not None]
            assert [name for name, gradient in gradients if not gradient.isfinite().all()] == []
            if "jvp" in self.provides:
                assert all(part.isfinite().all() for part in _along_time(net, state, times, null))

    def test_output_depends_on_the_condition(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            other = condition._replace(tokens=condition.tokens.roll(1, dims=-1))
            assert self._output_differs(net, (state, times, condition), (state, times, other))

    def test_output_depends_on_the_state(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            assert self._output_differs(
                net, (state, times, condition), (random_state(self.latent, 3, "b"), times, condition)
            )

    def test_output_depends_on_t(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            later = Times(times.t - 0.05, times.r - 0.05)  # the same interval t - r, so that only t changes
            assert self._output_differs(net, (state, times, condition), (state, later, condition))

    def test_output_depends_on_r_exactly_with_two_time(self, build: Build) -> None:
        for net, state, times, condition in self.cases(build):
            instant = Times(times.t, times.t)
            moved = self._output_differs(net, (state, times, condition), (state, instant, condition))
            assert moved == ("two-time" in self.provides)

    def test_output_depends_on_every_extra(self, build: Build) -> None:
        numbers = [(name, width, number) for name, width in self.extras.items() for number in range(width)]
        for net, state, times, condition in self.cases(build):
            for name, width, number in numbers:
                half = torch.full((ROWS, width), 0.5)
                other = half + 0.25 * F.one_hot(torch.tensor(number), width)
                pair = [(state, times, condition._replace(extras={name: values})) for values in (half, other)]
                assert self._output_differs(net, *pair)

    def test_equal_times_of_all_tokens_are_one_time(self, build: Build) -> None:
        self._only_with("token-times")
        for net, state, times, condition in self.cases(build):
            per_token = self._per_token(net, state, times, condition)
            pair = [net(state, given, condition).value.latent for given in (times, per_token)]
            assert max_difference(*pair) <= self.tolerance

    def test_output_depends_on_the_time_of_every_token(self, build: Build) -> None:
        self._only_with("token-times")
        for net, state, times, condition in self.cases(build):
            times = self._per_token(net, state, times, condition)
            for row in torch.eye(times.t.shape[1]):
                moved = Times(times.t - 0.05 * row, times.r - 0.05 * row)
                assert self._output_differs(net, (state, times, condition), (state, moved, condition))

    def test_every_parameter_gets_a_gradient(self, build: Build) -> None:
        for training in (False, True):
            torch.manual_seed(0)  # for dropout
            for net, *inputs in self.cases(build):
                _scalar_of_all_outputs(net.train(training)(*inputs)).backward()  # type: ignore[no-untyped-call]
                trained = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
                assert [name for name, p in trained if p.grad is None or not p.grad.isfinite().all()] == []

    def test_intermediates_are_image_tokens(self, build: Build) -> None:
        self._only_with("features")
        for net, *inputs in self.cases(build):
            features = net(*inputs, intermediates=self.intermediates).features
            assert set(features) == set(self.intermediates)
            cells = self.latent.height * self.latent.width
            assert all(f.ndim == 3 and len(f) == ROWS and cells % f.shape[1] == 0 for f in features.values())

    def test_heads_have_the_shape_of_the_value(self, build: Build) -> None:
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

    def _output_differs(self, net: nn.Module, first: Sequence[Any], second: Sequence[Any]) -> bool:
        with torch.no_grad():
            return max_difference(net(*first).value.latent, net(*second).value.latent) > self.effect

    def _per_token(self, net: nn.Module, state: State, times: Times, condition: Condition) -> Times:
        """Return the times repeated for each image token, whose number the intermediates show."""
        features = net(state, times, condition, intermediates=self.intermediates).features
        tokens = next(iter(features.values())).shape[1]
        return Times(times.t[:, None].repeat(1, tokens), times.r[:, None].repeat(1, tokens))

    def _only_with(self, word: str) -> None:
        if word not in self.provides:
            pytest.skip(f"the backbone does not provide {word!r}")


def _shape(cls_token: Tensor | None) -> tuple[int, ...] | None:
    return None if cls_token is None else tuple(cls_token.shape)


def _first_rows_masked(mask: Tensor, count: int) -> Tensor:
    """Return the mask [B, L] with its first `count` rows set to false."""
    return mask & (torch.arange(len(mask)) >= count)[:, None]


def _row(part: Any, row: int) -> Any:
    """Return one row of a named tuple of tensors."""
    if isinstance(part, Condition):
        return part.map(lambda tensor: tensor[row : row + 1])
    return type(part)(*(None if field is None else field[row : row + 1] for field in part))


def _scalar_of_all_outputs(prediction: Prediction) -> Tensor:
    """Return a scalar that depends on every predicted tensor."""
    states = [prediction.value, *prediction.heads.values()]
    tensors = [tensor for state in states for tensor in state if tensor is not None]
    return torch.stack([tensor.square().mean() for tensor in tensors]).sum()


def _along_time(net: nn.Module, state: State, times: Times, condition: Condition) -> tuple[Tensor, Tensor]:
    """Return the prediction and its derivative with respect to t (JVP), as MeanFlow computes it."""

    def predict(t: Tensor) -> Tensor:
        value: Tensor = net(state, Times(t, times.r), condition).value.latent
        return value

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # supports forward-mode derivatives
        velocity, slope = torch.func.jvp(predict, (times.t,), (torch.ones_like(times.t),))  # type: ignore[misc]
    return velocity, slope
