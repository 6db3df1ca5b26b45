"""Translates published configurations to NanoGen's, and compares them with the tensors of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from attrs import asdict, frozen

from nanogen_core.errors import ConfigError
from nanogen_dit.published.architecture import Architecture
from nanogen_dit.published.sections import (
    Flux2VAEParams,
    NetworkParams,
    PixelParams,
    PublishedConfig,
    QwenVAEParams,
    RAEParams,
    VAEParams,
)
from nanogen_dit.shapes import Shapes
from nanogen_files.structure import structure

TOKENIZERS: Mapping[str, type[Any]] = {
    "VAE": VAEParams,
    "QwenVAE": QwenVAEParams,
    "Flux2VAE": Flux2VAEParams,
    "RAE": RAEParams,
    "PixelEncoder": PixelParams,
}
NETWORKS = {
    "DiTwDDTHead": "ddt",
    "DiTwDDTHeadIG": "ddt",
    "LightningDiT": "lightning-dit",
    "LightningDiTIG": "lightning-dit",
}
DECODERS = {"ViTB": "B", "ViTL": "L", "ViTXL": "XL"}
QWEN = "Qwen/Qwen3-0.6B"


@frozen
class Published:
    """A parsed DiffusionBench configuration.

    Args:
        sections: The validated file, by section.
        tokenizer: Name of the published tokenizer class.
        stage_1: Arguments of the tokenizer.
        network: Name of the published network class.
        stage_2: Arguments of the network.
        text_tokens: Number of text tokens of a text-to-image network. None for class labels.
    """

    sections: PublishedConfig
    tokenizer: str
    stage_1: Any
    network: str
    stage_2: NetworkParams
    text_tokens: int | None

    @property
    def text(self) -> bool:
        return self.text_tokens is not None


def parse(values: Mapping[str, Any]) -> Published:
    """Parse a published configuration. Raises ConfigError for unknown or missing keys and wrong values."""
    sections: PublishedConfig = _structure(values, PublishedConfig, "")
    tokenizer = _class(sections.stage_1.target, "stage_1.target", TOKENIZERS)
    network = _class(sections.stage_2.target, "stage_2.target", NETWORKS)
    params = dict(sections.stage_2.params)
    params.pop("cond_arch", None)  # the published code overwrites it with `conditioning.arch`
    kind = sections.conditioning.type
    if kind == "label":  # as in the published code
        kind = sections.dataset.get("condition_type") or kind
    if kind not in ("label", "text"):
        raise ConfigError(
            f"The published configuration is invalid: dataset.condition_type must be label or text, got {kind!r}."
        )
    encoder = sections.conditioning.text_encoder
    if kind == "text" and encoder is None:
        raise ConfigError(
            "The published configuration is invalid: text conditions need conditioning.text_encoder. Set it."
        )
    return Published(
        sections,
        tokenizer,
        _structure(sections.stage_1.params, TOKENIZERS[tokenizer], "stage_1.params"),
        network,
        _structure(params, NetworkParams, "stage_2.params"),
        encoder.max_length if kind == "text" and encoder else None,
    )


def hints(published: Published | None, shapes: Shapes) -> dict[str, Any]:
    """Return the keys of a JSON description (see `infer`) that the configuration determines. Empty for None.

    Args:
        published: The configuration of the checkpoint, if any.
        shapes: Shapes of the tensors by published name.
    """
    if published is None:
        return {}
    params = published.stage_2
    found: dict[str, Any] = {}
    depth = params.base_model_depth or published.sections.internal_guidance.base_model_depth
    if published.network.endswith("IG"):
        depth = depth or 8  # the published default
    if depth is not None:
        found["base_model_depth"] = depth
    if published.text:
        found["cond_arch"] = {"num_c_tokens": published.text_tokens}
    if params.mlp_ratio is not None:
        found["mlp_ratio"] = params.mlp_ratio
    sides = [side for side in (params.input_size, *published.sections.misc.latent_size[-1:]) if side is not None]
    if sides and not any("rope.freqs_cos" in name for name in shapes):
        found["input_size"] = sides[0]
    return found


def translate(published: Published, found: Architecture) -> dict[str, Any]:
    """Translate a published configuration.

    Args:
        published: The configuration.
        found: The architecture of the tensors.

    Returns:
        A NanoGen configuration without the backbone.

    Raises:
        ConfigError: The configuration contradicts the tensors or itself, or needs something that NanoGen does not have.
    """
    differing = [
        f"{key} is {expected}, but {actual} in the checkpoint"
        for key, expected, actual in _pairs(published, found)
        if expected != actual
    ]
    if differing:
        raise ConfigError(
            f"The published configuration does not match the checkpoint: {'; '.join(differing)}. Use the configuration"
            " of this checkpoint."
        )
    _refuse_two_sizes(published)
    sections = published.sections
    layer: dict[str, Any] = {
        "task": "t2i" if published.text else "imagenet",
        "image_size": published.stage_1.resolution,
        "tokenizer": _tokenizer(published),
        "objective": _objective(published),
        "sampler": {"name": "euler", "steps": sections.sampler.num_steps},
        "stage": {"name": "diffusion", "condition_dropout": sections.conditioning.cfg_dropout_prob},
        "auxiliary": _auxiliary(published),
        "guidance": _guidance(published, "internal-head" in found.wanted),
    }
    if published.text and sections.conditioning.text_encoder:
        layer["encoder"] = _text_encoder(**asdict(sections.conditioning.text_encoder))
    return {key: value for key, value in layer.items() if value != {}}


def _structure(values: Mapping[str, Any], into: type[Any], path: str) -> Any:
    try:
        return structure(values, into, path)
    except ConfigError as error:
        lines = "; ".join(line.strip(".") for line in str(error).splitlines())
        raise ConfigError(f"The published configuration is invalid: {lines}. Correct it.") from error


def _refuse_two_sizes(published: Published) -> None:
    """Raise ConfigError if the configuration has another image size for training than for its tokenizer."""
    size, resolution = published.sections.training.get("image_size"), published.stage_1.resolution
    if size not in (None, resolution):
        default = "" if "resolution" in published.sections.stage_1.params else " by default"
        raise ConfigError(
            f"The published configuration contradicts itself: training.image_size is {size}, but"
            f" stage_1.params.resolution is {resolution}{default}. Set both to the size of the images."
        )


def _class(target: str, key: str, known: Mapping[str, Any]) -> str:
    name = target.rpartition(".")[2]
    if name not in known:
        raise ConfigError(
            f"The published configuration is invalid: {key} {target!r} is unknown. Use one of the published"
            f" classes: {', '.join(known)}."
        )
    return name


# -- values that the tensors determine as well ------------------------------------------------------------------------


def _pairs(published: Published, found: Architecture) -> list[tuple[str, Any, Any]]:
    """(key, value of the configuration, value of the tensors) for every value that both determine."""
    sections, params, settings = published.sections, published.stage_2, found.settings
    decoupled = found.backbone == "ddt"
    numbers = {
        name: [settings[ours], settings[f"decoder_{ours}"]] if decoupled else settings[ours]
        for name, ours in {"hidden_size": "hidden", "depth": "depth", "num_heads": "heads"}.items()
    }
    patch = settings["patch_size"]
    pairs = {
        "stage_2.target": (NETWORKS[published.network], found.backbone),
        "stage_2.params.input_size": (params.input_size, found.latent.height),
        "stage_2.params.in_channels": (params.in_channels, found.latent.channels),
        "stage_2.params.patch_size": (params.patch_size, [patch, patch] if decoupled else patch),
        **{f"stage_2.params.{name}": (getattr(params, name), value) for name, value in numbers.items()},
        "stage_2.params.mlp_ratio": (params.mlp_ratio, settings["mlp_ratio"]),
        "stage_2.params.z_dim": (params.z_dim if found.latent.cls_token_width else None, found.latent.cls_token_width),
        "misc.latent_size": (list(sections.misc.latent_size), list(found.latent.shape)),
        "conditioning.type": ("text" if published.text else "label", "text" if found.condition.padded else "label"),
        "conditioning.arch.num_t_tokens": (sections.conditioning.arch.num_t_tokens, settings["time_tokens"]),
        "internal guidance": (published.network.endswith("IG"), "internal-head" in found.wanted),
        "transport.meanflow": (sections.transport.meanflow is not None, "two-time" in found.wanted),
        "repa.use_reg": (bool(sections.repa.use_reg or params.enable_reg), "cls-token" in found.wanted),
    }
    if not published.text and not found.condition.padded:
        classes = sections.misc.num_classes if params.num_classes is None else params.num_classes
        pairs["misc.num_classes"] = (classes, found.condition.width - 1)
        pairs["conditioning.arch.num_c_tokens"] = (sections.conditioning.arch.num_c_tokens, found.condition.learned)
    return [(key, expected, actual) for key, (expected, actual) in pairs.items() if expected is not None]


# -- values that only the configuration determines ---------------------------------------------------------------------


def _tokenizer(published: Published) -> dict[str, Any]:
    params = published.stage_1
    if isinstance(params, VAEParams):
        return {"name": "vae", "preset": params.vae_type}
    if isinstance(params, PixelParams):
        return {"name": "pixel"}
    decoder = PurePosixPath(params.decoder_config_path).name
    if decoder not in DECODERS:
        raise ConfigError(
            f"The published configuration is invalid: stage_1.params.decoder_config_path {decoder!r} is unknown. Use a"
            f" path that ends with one of {', '.join(DECODERS)}."
        )
    return {
        "name": "rae",
        "encoder": params.encoder_name,
        "decoder": {"size": DECODERS[decoder], "path": params.pretrained_decoder_path},
        "statistics": params.normalization_stat_path,
    }


def _objective(published: Published) -> dict[str, Any]:
    transport, misc = published.sections.transport, published.sections.misc
    mean, std = _logit_normal(transport.time_dist_type)
    shift = (misc.time_dist_shift_dim / misc.time_dist_shift_base) ** 0.5
    sampling = (misc.time_dist_shift_dim / (misc.time_dist_shift_base_eval or misc.time_dist_shift_base)) ** 0.5
    times = {"time_mean": mean, "time_std": std, "shift": shift, "t_eps": transport.t_eps}
    if transport.meanflow is None:
        repa, internal = published.sections.repa, published.sections.internal_guidance
        weights = {"cls_token_weight": repa.reg_coeff, "internal_weight": internal.base_model_coeff}
        return {"name": "flow", "prediction": transport.prediction, **times, "sample_shift": sampling, **weights}
    flow = transport.meanflow
    shifted = sampling != 1.0 and published.sections.sampler.num_steps > 1  # one step is the same with any shift
    if transport.prediction != "velocity" or (flow.cfg_t_start, flow.cfg_t_end) != (0.0, 1.0) or shifted:
        raise ConfigError(
            "The published MeanFlow configuration is not supported. NanoGen's MeanFlow needs `prediction: velocity` in"
            " transport, and `cfg_t_start: 0` and `cfg_t_end: 1` in transport.meanflow. For more than one sampling step"
            ", time_dist_shift_dim and time_dist_shift_base_eval in misc must be equal."
        )
    return {
        "name": "meanflow",
        **times,
        "omega": flow.cfg_omega,
        "kappa": flow.cfg_kappa,
        "probability": 1 - flow.fm_ratio,
        "norm_p": flow.norm_p,
        "norm_eps": flow.norm_eps,
        "internal_weight": published.sections.internal_guidance.base_model_coeff,
    }


def _logit_normal(text: str) -> tuple[float, float]:
    """Parse `logit-normal_MEAN_STD`."""
    try:
        name, mean, std = text.split("_")
        if name == "logit-normal":
            return float(mean), float(std)
    except ValueError:
        pass
    raise ConfigError(
        f"The published configuration is invalid: transport.time_dist_type must be logit-normal_MEAN_STD, got {text!r}."
    )


def _guidance(published: Published, head: bool) -> dict[str, Any]:
    """Guidance at sampling. As in the published code it is off for MeanFlow and for scales up to 1."""
    guidance = published.sections.guidance
    found: dict[str, Any] = {}
    off = guidance.disabled or published.sections.transport.meanflow is not None
    if published.sections.transport.meanflow is None:
        cfg = guidance.cfg if guidance.cfg and guidance.cfg.scale > 1 and not off else None
        found["cfg"] = {"scale": 1.0} if cfg is None else asdict(cfg)
    if head:
        ig = None if off else guidance.ig
        active = ig is not None and (ig.scale > 1 or ig.unconditional_scale not in (None, 1.0))
        null_scale = {} if ig is None else {"null_scale": ig.unconditional_scale}
        interval = {} if ig is None else {"scale": ig.scale, "t_min": ig.t_min, "t_max": ig.t_max}
        found["internal"] = {**interval, **null_scale} if active else {"scale": 1.0}
    elif not off and guidance.ig and guidance.ig.scale > 1:
        raise ConfigError(
            f"The published configuration has guidance.ig.scale {guidance.ig.scale}, but the checkpoint has no"
            " internal-guidance head. Use the configuration of this checkpoint."
        )
    return found


def _auxiliary(published: Published) -> dict[str, Any]:
    sections = published.sections
    repa, perceptual = sections.repa, sections.perceptual_loss
    found: dict[str, Any] = {}
    if repa.use_repa:
        options = {"block": repa.repa_layer_depth, "weight": repa.repa_coeff}
        found["repa"] = {"teacher": repa.target_encoder, **options}
    if repa.use_reg:
        found["reg"] = {"teacher": repa.target_encoder}
    names = [name for name in perceptual.encoders.split(",") if name]
    if len(names) != len(perceptual.percep_loss_weights):
        raise ConfigError(
            "The published configuration is invalid: encoders and percep_loss_weights of"
            f" perceptual_loss differ in number ({len(names)} and {len(perceptual.percep_loss_weights)}). Give one"
            " weight for each encoder."
        )
    for name, weight in zip(names, perceptual.percep_loss_weights, strict=True):
        loss, teacher = ("lpips", {}) if name == "lpips" else ("patch-tokens", {"teacher": name})
        found[loss] = {**teacher, "weight": weight, "below": sections.transport.percep_loss_t_thresh}
    return found


def _text_encoder(model_name: str, max_length: int) -> dict[str, Any]:
    if model_name == QWEN:
        return {"name": "qwen3-0.6b", "max_length": max_length}
    return {"name": "hf-text", "path": model_name, "max_length": max_length}
