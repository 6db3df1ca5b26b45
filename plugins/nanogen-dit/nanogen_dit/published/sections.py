"""Sections of a published configuration (`configs/stage2/...` of DiffusionBench), with the published defaults.

The sections `training`, `dataset` and `eval` are ignored, except `training.image_size` and `dataset.condition_type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_core.validators import between

_POSITIVE: Any = validators.optional(between(0, 1_000_000_000, above=True))


@frozen(kw_only=True)
class ModelSection:
    """A class of the published code by its dotted name, and its arguments."""

    target: str
    params: Mapping[str, Any] = field(factory=dict)
    ckpt: str | None = None


@frozen(kw_only=True)
class NetworkParams:
    """Arguments of the published networks. An argument that the file does not give is None."""

    input_size: int | None = None
    in_channels: int | None = None
    patch_size: Any = None
    hidden_size: Any = None
    depth: Any = None
    num_heads: Any = None
    mlp_ratio: float | None = None
    enable_repa: bool | None = None
    repa_layer_depth: int | None = None
    z_dim: int | None = None
    enable_reg: bool | None = None
    num_classes: int | None = None
    condition_type: str | None = None
    context_dim: int | None = None
    is_meanflow: bool | None = None
    base_model_depth: int | None = None


@frozen(kw_only=True)
class VAEParams:
    vae_type: str
    resolution: int = 256
    eps: float = 1e-5
    sample_mode: Literal["mode"] = "mode"


@frozen(kw_only=True)
class QwenVAEParams(VAEParams):
    vae_type: str = "qwen-vae"


@frozen(kw_only=True)
class Flux2VAEParams(VAEParams):
    vae_type: str = "flux2"


@frozen(kw_only=True)
class RAEParams:
    encoder_name: str
    resolution: int = 256
    decoder_config_path: str  # the published default is no published decoder
    decoder_patch_size: int = 16
    pretrained_decoder_path: str | None = None
    noise_tau: float = 0.8
    normalization_stat_path: str | None = None
    eps: float = 1e-5


@frozen(kw_only=True)
class PixelParams:
    resolution: int = 256


@frozen(kw_only=True)
class MeanFlowSection:
    fm_ratio: float = 0.75
    norm_p: float = 1.0
    norm_eps: float = 0.01
    cfg_omega: float = 1.0
    cfg_kappa: float = 0.5
    cfg_t_start: float = 0.0
    cfg_t_end: float = 1.0


@frozen(kw_only=True)
class TransportSection:
    prediction: Literal["velocity", "x"]
    time_dist_type: str = "logit-normal_0_1"
    t_eps: float = 0.05
    percep_loss_t_thresh: float = 0.7
    meanflow: MeanFlowSection | None = None


@frozen(kw_only=True)
class SamplerSection:
    num_steps: int


@frozen(kw_only=True)
class ScaleSection:
    scale: float = 1.0
    t_min: float = 0.0
    t_max: float = 1.0


@frozen(kw_only=True)
class InternalScaleSection(ScaleSection):
    unconditional_scale: float | None = None


@frozen(kw_only=True)
class GuidanceSection:
    cfg: ScaleSection | None = field(factory=ScaleSection)
    ig: InternalScaleSection | None = field(factory=InternalScaleSection)
    disabled: bool = False


@frozen(kw_only=True)
class RepaSection:
    use_repa: bool = False
    use_reg: bool = False
    reg_coeff: float = 0.03
    repa_layer_depth: int = 8
    repa_coeff: float = 0.5
    target_encoder: str = "dinov2-vit-b"
    target_encoder_resolution: int = 256
    z_dim: int | None = None


@frozen(kw_only=True)
class TokensSection:
    num_t_tokens: int = 4
    num_c_tokens: int = 8


@frozen(kw_only=True)
class TextEncoderSection:
    model_name: str = "Qwen/Qwen3-0.6B"
    max_length: int = 256


@frozen(kw_only=True)
class ConditioningSection:
    type: Literal["label", "text"]
    text_encoder: TextEncoderSection | None = field(factory=TextEncoderSection)
    cfg_dropout_prob: float = 0.1
    context_dim: int | None = None
    arch: TokensSection = field(factory=TokensSection)


@frozen(kw_only=True)
class InternalSection:
    base_model_depth: int | None = None
    base_model_coeff: float = 1.0


@frozen(kw_only=True)
class PerceptualSection:
    encoders: str = ""
    percep_loss_weights: tuple[float, ...] = ()


@frozen(kw_only=True)
class MiscSection:
    latent_size: tuple[int, ...]
    num_classes: int = 1000
    time_dist_shift_dim: int = field(validator=_POSITIVE)
    time_dist_shift_base: int = field(default=4096, validator=_POSITIVE)
    time_dist_shift_base_eval: int | None = field(default=None, validator=_POSITIVE)


@frozen(kw_only=True)
class PublishedConfig:
    """A configuration file. Sections without a default are required, since they determine the samples."""

    stage_1: ModelSection
    stage_2: ModelSection
    conditioning: ConditioningSection
    transport: TransportSection
    sampler: SamplerSection
    guidance: GuidanceSection
    misc: MiscSection
    repa: RepaSection = field(factory=RepaSection)
    internal_guidance: InternalSection = field(factory=InternalSection)
    perceptual_loss: PerceptualSection = field(factory=PerceptualSection)
    training: Mapping[str, Any] = field(factory=dict)
    dataset: Mapping[str, Any] = field(factory=dict)
    eval: Any = None
