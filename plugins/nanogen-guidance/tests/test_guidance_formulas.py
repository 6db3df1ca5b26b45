"""The guidances against the guiders of diffusers and against the papers' equations for predicted data."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nanogen_core.errors import Incompatible
from nanogen_core.guidance import ClassifierFree
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, Heun
from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, SharedTimes, State, Times, per_sample
from nanogen_core.testing import GuidanceContract
from nanogen_edm import EDM, EDMConfig
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow
from nanogen_guidance import (
    AdaptiveProjected,
    AutoGuidance,
    AutoGuidanceConfig,
    CFGZeroStar,
    CFGZeroStarConfig,
    ProjectedConfig,
)

ROWS = 3
LATENT = LatentSpec(4, 8, 8)
FLOW = Flow(FlowConfig(shift=1.0), latent=LATENT)
LABELS, NULL = Condition(torch.ones(ROWS, 1, 1)), Condition(torch.zeros(ROWS, 1, 1))


class Arc:
    """x_t = cos(t pi / 2) data + sin(t pi / 2) noise."""

    def interpolate(self, clean, noise, t):
        angle = math.pi / 2 * t
        return clean.map(lambda x, n: per_sample(angle.cos(), x) * x + per_sample(angle.sin(), x) * n, noise)

    def path_velocity(self, clean, noise, t):
        angle = math.pi / 2 * t
        return clean.map(
            lambda x, n: math.pi / 2 * (per_sample(angle.cos(), x) * n - per_sample(angle.sin(), x) * x), noise
        )


def draw(name, *shape):
    return KeyedRNG(0, range(ROWS)).normal(name, shape or LATENT.shape)


def state_of(name):
    return State(draw(name), draw(f"{name} token", 5))


def at(t):
    times = torch.full((ROWS,), t)
    return SharedTimes.of(times, times, (float(times[0]), float(times[0])))


def answering(conditional, unconditional):
    """Return a velocity function with these velocities of conditional and null rows."""

    def velocity_fn(state, times, condition):
        given = condition.tokens[:, 0, 0] > 0
        both = conditional.map(lambda c, u: torch.cat([c, u]) if len(given) > ROWS else c, unconditional)
        assert given[:ROWS].all()
        return Prediction(both)

    return velocity_fn


def public(name, **options):
    """Build a guider of diffusers at step 1 of 10."""
    guiders = pytest.importorskip("diffusers.guiders", reason="its guiders are the reference")
    guider = getattr(guiders, name)(**options)
    guider.set_state(step=1, num_inference_steps=10, timestep=torch.tensor(500))
    return guider


def zero_star(objective=None, **options):
    return CFGZeroStar(CFGZeroStarConfig(**options), objective=objective or FLOW)


# -- contracts -------------------------------------------------------------------------------------------------------


class TestZeroStarContract(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return zero_star(scale=3.0, zero_steps=0)


class TestZeroInitContract(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return zero_star(scale=3.0)


class TestProjectedContract(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return AdaptiveProjected(ProjectedConfig(scale=3.0), objective=FLOW)


class Halving(nn.Module):
    """Predicts half of the state."""

    def forward(self, state, times, condition):
        return Prediction(state.map(lambda x: x / 2))


def autoguidance(objective=FLOW, net=None, **options):
    """Build autoguidance whose weaker model is given instead of loaded."""
    parts = dict.fromkeys(("latent", "condition", "classes", "tokenizer", "conditioner"))
    found = AutoGuidance(AutoGuidanceConfig(pipeline="weak", **options), objective=objective, **parts)
    found._weak._model = (objective, net or Halving())
    return found


class TestAutoGuidanceContract(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return autoguidance()


# -- CFG-Zero* -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 1.5, 7.5])
def test_cfg_zero_star_agrees_with_diffusers(scale):
    conditional, unconditional = state_of("c"), state_of("u")
    guidance = zero_star(scale=scale, zero_steps=0)
    found = guidance.wrap(answering(conditional, unconditional), NULL)(state_of("x"), at(0.5), LABELS).value
    guider = public("ClassifierFreeZeroStarGuidance", guidance_scale=scale, zero_init_steps=1)
    for one, c, u in zip(found, conditional, unconditional, strict=True):
        assert torch.allclose(one, guider.forward(c, u).pred, atol=1e-5)


def test_the_scaled_unconditional_velocity_is_the_nearest_to_the_conditional_one():
    """The paper's definition of k: it minimises |v_c - k v_u|. With w = 0 the result is k v_u."""
    conditional, unconditional = state_of("c"), state_of("u")
    guidance = zero_star(scale=0.0, zero_steps=0)
    nearest = guidance.wrap(answering(conditional, unconditional), NULL)(state_of("x"), at(0.5), LABELS).value.latent
    solved = torch.linalg.lstsq(unconditional.latent.flatten(1)[..., None], conditional.latent.flatten(1)[..., None])
    assert torch.allclose(nearest, per_sample(solved.solution.flatten(), nearest) * unconditional.latent, atol=1e-5)


@pytest.mark.parametrize("zero_steps", [0, 1, 3])
def test_the_first_steps_of_euler_do_not_move(zero_steps):
    one = State(torch.ones(ROWS, *LATENT.shape))
    field = zero_star(scale=2.0, zero_steps=zero_steps).wrap(answering(one, one), NULL)
    for _ in range(2):  # the second run begins anew, because its time is later
        rng = KeyedRNG(0, range(ROWS))
        ends = Euler(SamplerConfig()).sample(FLOW, field, State(draw("x")), LABELS, 10, rng)
        assert torch.allclose(draw("x") - ends.latent, torch.tensor(1 - zero_steps / 10), atol=1e-5)


def test_with_heun_the_first_step_is_half_of_the_velocity_at_its_end():
    one = State(torch.ones(ROWS, *LATENT.shape))
    field = zero_star(scale=2.0).wrap(answering(one, one), NULL)
    ends = Heun(SamplerConfig()).sample(FLOW, field, State(draw("x")), LABELS, 10, KeyedRNG(0, range(ROWS)))
    assert torch.allclose(draw("x") - ends.latent, torch.tensor(0.95), atol=1e-5)


def test_zero_init_does_not_evaluate_the_network_and_ends_after_its_steps():
    calls = []

    def velocity_fn(state, times, condition):
        calls.append((float(times.t[0]), len(state.latent)))
        return Prediction(state)

    field = zero_star(scale=2.0, zero_steps=1, t_max=0.6).wrap(velocity_fn, NULL)
    Euler(SamplerConfig()).sample(FLOW, field, State(draw("x")), LABELS, 4, KeyedRNG(0, range(ROWS)))
    assert calls == [(0.75, ROWS), (0.5, 2 * ROWS), (0.25, 2 * ROWS)]


def test_zero_init_is_refused_on_another_path():
    """A zero velocity keeps the variance of a state. On EDM's path it is 80^2 at t = 1, and less at the next time."""
    for objective in (Arc(), EDM(EDMConfig(), latent=LATENT)):
        with pytest.raises(Incompatible, match="zero-init needs the path .* Set `guidance.cfg-zero-star.zero_steps"):
            zero_star(objective, scale=2.0)
        assert zero_star(objective, scale=2.0, zero_steps=0).with_scale(3.0).config.scale == 3.0


# -- adaptive projected guidance -------------------------------------------------------------------------------------


def run_of_three(objective, predicted_data, **options):
    """Return states, times and guided velocities of three successive evaluations of one run.

    `predicted_data(step)` returns the conditional and the unconditional predicted data.
    """
    found = []
    velocities = {}
    guidance = AdaptiveProjected(ProjectedConfig(**options), objective=objective)
    field = guidance.wrap(lambda state, times, condition: Prediction(velocities["now"]), NULL)
    for step, t in enumerate((0.9, 0.6, 0.3)):
        state, times = State(draw(f"x{step}")), at(t)
        both = [State(data) for data in predicted_data(step)]
        pair = [velocity_to(objective, state, data, t) for data in both]
        velocities["now"] = pair[0].map(lambda c, u: torch.cat([c, u]), pair[1])
        found.append((state, t, field(state, times, LABELS).value))
    return found


def velocity_to(objective, state, data, t):
    """Return the velocity at x_t of the path from the data: the noise is (x_t - a data) / s."""
    times = torch.full((ROWS,), t)
    zero, one = (State(torch.full(state.latent.shape, value)) for value in (0.0, 1.0))
    scaled, s = objective.interpolate(data, zero, times), objective.interpolate(zero, one, times)
    return objective.path_velocity(data, state.map(lambda x, a, n: (x - a) / n, scaled, s), times)


def random_data(step):
    return draw(f"c{step}"), draw(f"u{step}")


@pytest.mark.parametrize("objective", [FLOW, Arc()], ids=["straight", "arc"])
@pytest.mark.parametrize(("parallel", "norm", "momentum"), [(0.0, 5.0, -0.5), (0.4, 2.0, 0.3), (1.0, 0.0, 0.0)])
def test_apg_agrees_with_diffusers_on_predicted_data(objective, parallel, norm, momentum):
    """diffusers adds `guidance_scale` times the update to the conditional prediction: w - 1 in the paper."""
    options = {"scale": 4.0, "parallel": parallel, "norm": norm, "momentum": momentum}
    guider = public(
        "AdaptiveProjectedGuidance",
        guidance_scale=3.0,
        adaptive_projected_guidance_momentum=momentum,
        adaptive_projected_guidance_rescale=norm,
        eta=parallel,
        use_original_formulation=True,
    )
    from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer

    guider.momentum_buffer = MomentumBuffer(momentum)  # `prepare_inputs` makes it at step 0
    for step, (state, t, velocity) in enumerate(run_of_three(objective, random_data, **options)):
        data = State(guider.forward(*random_data(step)).pred)
        expected = velocity_to(objective, state, data, t).latent
        assert torch.allclose(velocity.latent, expected, rtol=1e-4, atol=1e-4)


def test_without_its_three_changes_it_is_classifier_free_guidance():
    conditional, unconditional = state_of("c"), state_of("u")
    plain = AdaptiveProjected(ProjectedConfig(scale=3.0, parallel=1.0, norm=0.0, momentum=0.0), objective=FLOW)
    cfg = ClassifierFree(ClassifierFreeConfig(scale=3.0))
    found, same = (
        guidance.wrap(answering(conditional, unconditional), NULL)(state_of("x"), at(0.7), LABELS).value
        for guidance in (plain, cfg)
    )
    assert torch.allclose(found.latent, same.latent, atol=1e-4)
    assert torch.allclose(found.cls_token, same.cls_token, atol=1e-4)


def test_its_update_is_orthogonal_to_the_prediction_and_has_the_norm_r():
    """With eta = 0: D - D_c = (w - 1) u, u is orthogonal to D_c and, before the projection, of the norm r."""
    (state, t, velocity), *_ = run_of_three(FLOW, random_data, scale=3.0, norm=2.0, momentum=0.0)
    data = state.latent - t * velocity.latent
    conditional, unconditional = random_data(0)
    update = (data - conditional).flatten(1) / 2
    assert torch.allclose((update * conditional.flatten(1)).sum(1), torch.zeros(ROWS), atol=1e-3)
    difference = (conditional - unconditional).flatten(1)
    cosine = torch.cosine_similarity(difference, conditional.flatten(1), dim=1)
    assert torch.allclose(update.norm(dim=1), 2.0 * (1 - cosine**2).sqrt(), atol=1e-4)


def test_each_run_has_its_own_momentum():
    first, again = (run_of_three(FLOW, random_data, scale=3.0) for _ in range(2))
    assert all(torch.equal(one[2].latent, other[2].latent) for one, other in zip(first, again, strict=True))
    without = run_of_three(FLOW, random_data, scale=3.0, momentum=0.0)
    assert torch.equal(without[0][2].latent, first[0][2].latent)
    assert not torch.allclose(without[1][2].latent, first[1][2].latent, atol=1e-2)


# -- autoguidance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [FLOW, Flow(FlowConfig(prediction="x"), latent=LATENT)], ids=["velocity", "x"])
def test_autoguidance_is_the_paper_s_equation_for_predicted_data(objective):
    """D = D_weak + w (D_strong - D_weak) with D = x_t - t v on the straight path. The weaker model predicts x_t / 2."""
    state, t, strong = state_of("x"), 0.6, state_of("c")
    guidance = autoguidance(objective, scale=2.1)
    velocity = guidance.wrap(lambda *_: Prediction(strong), NULL)(state, at(t), LABELS).value
    for found, x, v in zip(velocity, state, strong, strict=True):
        weak = x / 2 if objective.config.prediction == "x" else x - t * x / 2
        data = weak + 2.1 * (x - t * v - weak)
        assert torch.allclose(found, (x - data) / t, atol=1e-5)


def test_outside_its_interval_and_with_scale_one_the_weaker_model_is_not_evaluated():
    class Forbidden(nn.Module):
        def forward(self, *_):
            raise AssertionError

    guidance = autoguidance(net=Forbidden(), t_max=0.5)
    strong = state_of("c")
    for each, t in ((guidance, 0.6), (guidance.with_scale(1.0), 0.4)):
        assert each.wrap(lambda *_: Prediction(strong), NULL)(state_of("x"), at(t), LABELS).value is strong


def test_under_cfg_both_branches_are_guided_and_heads_are_kept():
    head = state_of("h")
    field = autoguidance(scale=3.0).wrap(
        lambda state, *_: Prediction(state.map(lambda x: 2 * x), heads={"h": head}), NULL
    )
    prediction = field(State(torch.ones(ROWS, *LATENT.shape)), at(0.5), LABELS)
    assert prediction.heads["h"] is head
    assert torch.allclose(prediction.value.latent, torch.tensor(0.5 + 3 * (2 - 0.5)))
    cfg = ClassifierFree(ClassifierFreeConfig(scale=2.0))
    tokens = State(torch.ones(ROWS, *LATENT.shape))
    doubled = cfg.wrap(autoguidance(scale=3.0).wrap(tokens_as_velocity, NULL), NULL)(tokens, at(0.5), LABELS).value
    conditional, unconditional = 0.5 + 3 * (1 - 0.5), 0.5 + 3 * (0 - 0.5)
    assert torch.allclose(doubled.latent, torch.tensor(unconditional + 2 * (conditional - unconditional)))


def tokens_as_velocity(state: State, times: Times, condition: Condition) -> Prediction:
    return Prediction(State(condition.tokens[:, :1, :1, None].expand_as(state.latent)))
