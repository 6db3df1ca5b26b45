"""A recipe as a row of `published_configs.json`, with the values of the resolved recipe."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from nanogen_core import capabilities
from nanogen_core.assembly import Assembly
from nanogen_t2i.config import HFTextConfig, TextConfig
from nanogen_t2i.encoder import HFText
from nanogen_t2i.text import Text
from tests.fidelity.recipes import transforms
from tests.fidelity.recipes.evaluation import evaluation
from tests.fidelity.recipes.parts import parts_of
from tests.fidelity.recipes.training import training

Row = dict[str, Any]

PIXELS_OF_A_TOKEN = 16
TINY_TEXT_ENCODER = Path(__file__).parents[1] / "fixtures" / "text_encoder_tiny"


@cache
def as_row(name: str, task: str, guided: bool = True) -> Row:
    """Return every field that the recipe determines."""
    parts = parts_of(name, task, guided)
    return {
        "task": parts.resolved.task,
        "image_size": parts.resolved.image_size,
        "tokenizer": _tokenizer(parts),
        "latent": list(parts["latent"].shape),
        "model": _model(parts),
        "conditioning": _conditioning(parts),
        **_times(parts),
        "sampler": {"kind": _slot(parts, "sampler").name, "steps": _slot(parts, "sampler").config.steps},
        "guidance": _guidance(parts),
        "meanflow": _meanflow(parts),
        "repa": _alignment(parts),
        "internal_guidance": _internal(parts),
        "perceptual": _perceptual(parts),
        "training": training(parts),
        "data": {"flip": transforms.flips(parts), "transform": transforms.described(parts)},
        "evaluation": evaluation(parts),
    }


def _slot(parts: Assembly, kind: str) -> Any:
    return parts.resolved.slots[kind]


def _group(parts: Assembly, kind: str) -> dict[str, Any]:
    return {name: part.config for name, part in parts.resolved.groups[kind].items()}


def _tokenizer(parts: Assembly) -> Row:
    part = _slot(parts, "tokenizer")
    name = getattr(part.config, "preset", None) or getattr(part.config, "encoder", None) or part.name
    row = {"cls": part.name, "name": name, "resolution": parts.resolved.image_size}
    if part.name != "rae":
        return row
    provides = part.chosen.component.provides
    return {
        **row,
        "decoder": f"ViT{part.config.decoder.size}",
        "noise": 0.0,  # only stage 1 adds noise to tokens
        "statistics": "statistics" in provides,  # required for encoding
    }


def _model(parts: Assembly) -> Row:
    backbone, latent, config = parts["backbone"], parts["latent"], _slot(parts, "backbone").config
    trunks = (config.trunk, config.decoder)
    patch = config.patch_size or latent.patch_size
    return {
        "cls": _slot(parts, "backbone").name,
        "patch": [patch, patch],
        **{name: [getattr(trunk, name) for trunk in trunks] for name in ("hidden", "depth", "heads")},
        "mlp_ratio": config.mlp_ratio,
        "input_size": latent.height,
        "channels": latent.channels,
        "trained_parameters": sum(p.numel() for p in backbone.parameters() if p.requires_grad),
    }


def _conditioning(parts: Assembly) -> Row:
    spec, two_times = parts["condition"], "two-time" in capabilities.wanted(parts.resolved.parts(), "backbone")
    row = {
        "type": _slot(parts, "conditioner").name,
        "time_tokens": _slot(parts, "backbone").config.time_tokens * (2 if two_times else 1),
        "condition_tokens": max(spec.learned, spec.length),
        "dropout": _slot(parts, "stage").config.condition_dropout,
    }
    if row["type"] == "label":
        null = parts["conditioner"].null(1).tokens  # one-hot
        return {**row, "classes": spec.width - 1, "null": int(null.flatten().argmax())}
    encoder = _slot(parts, "encoder").config
    text = {"text_encoder": encoder.path, "max_length": encoder.max_length, "width": spec.width, "null": _null_text()}
    return {**row, **text}


@lru_cache(maxsize=1)
def _null_text() -> str:
    """The null text of a tiny encoder of the published class."""
    with torch.device("cpu"):
        encoder = HFText(HFTextConfig(path=str(TINY_TEXT_ENCODER), max_length=10))
        mask = Text(TextConfig(), encoder=encoder).null(2).mask
    assert mask is not None
    return f"the empty text, mask {'not ' if mask.any() else ''}zero everywhere"


def _times(parts: Assembly) -> Row:
    objective, config = parts["objective"], _slot(parts, "objective").config
    middle = float(objective.grid(2)[1])  # the shift s takes 1/2 to s / (s + 1)
    return {
        "prediction": getattr(config, "prediction", "velocity"),
        "time_distribution": f"logit-normal_{float(config.time_mean)}_{float(config.time_std)}",
        "t_eps": config.t_eps,
        "shift_dim": parts["latent"].dimension,
        "training_shift": getattr(objective, "flow", objective).shift,
        "sampling_shift": middle / (1 - middle),
    }


def _guidance(parts: Assembly) -> Row:
    members = _group(parts, "guidance")
    cfg = members.get("cfg")
    scale, t_min, t_max = (1.0, 0.0, 1.0) if cfg is None else (cfg.scale, cfg.t_min, cfg.t_max)
    mode = "+".join(sorted(members)) or "none"
    return {"mode": mode, "cfg_scale": scale, "t_min": t_min, "t_max": t_max, "applied": bool(members)}


def _meanflow(parts: Assembly) -> Row | None:
    part = _slot(parts, "objective")
    if part.name != "meanflow":
        return None
    config = part.config
    return {
        "fm_ratio": 1 - config.probability,
        "norm_p": config.norm_p,
        "norm_eps": config.norm_eps,
        "cfg_omega": config.omega,
        "cfg_kappa": config.kappa,
        "cfg_t_start": 0.0,  # the target has guidance at all times
        "cfg_t_end": 1.0,
    }


def _alignment(parts: Assembly) -> Row:
    members = _group(parts, "auxiliary")
    repa, reg = members.get("repa"), members.get("reg")
    row: Row = {
        "use_repa": repa is not None,
        "use_reg": reg is not None,
        "repa_coeff": None if repa is None else repa.weight,
        "reg_coeff": None if reg is None else _slot(parts, "objective").config.cls_token_weight,
        **dict.fromkeys(("encoder", "encoder_resolution", "token_width")),
    }
    if repa is None and reg is None:
        return row
    teacher = parts["auxiliaries"]["repa" if reg is None else "reg"].teacher
    grid = teacher.encoder.grid(parts.resolved.image_size)
    return {
        **row,
        "encoder": (repa if reg is None else reg).teacher,
        "encoder_resolution": grid * PIXELS_OF_A_TOKEN,
        "token_width": teacher.width,
    }


def _internal(parts: Assembly) -> Row | None:
    config = _group(parts, "guidance").get("internal")
    depth = _slot(parts, "backbone").config.internal_head_depth
    return None if config is None and depth is None else {"config": config, "depth": depth}


def _perceptual(parts: Assembly) -> Row | None:
    members = _group(parts, "auxiliary")
    losses = [members[name] for name in ("lpips", "patch-tokens") if name in members]
    if not losses:
        return None
    limits = {loss.below for loss in losses}
    return {
        "encoders": ",".join(getattr(loss, "teacher", "lpips") for loss in losses),
        "weights": [loss.weight for loss in losses],
        "below_t": limits.pop() if len(limits) == 1 else sorted(limits),
    }
