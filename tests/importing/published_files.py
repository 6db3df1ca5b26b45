"""Writes checkpoints and configurations as the published program has them, from recorded rows."""

from pathlib import Path
from typing import Any

import torch

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.published import export_published

ROWS = Path(__file__).parents[1] / "fidelity" / "fixtures" / "published_configs.json"
SIZES = {"hidden": 16, "depth": 2, "heads": 2, "decoder_hidden": 32, "decoder_depth": 1, "decoder_heads": 2}
TOKEN_WIDTH = 768  # of the class token of DINOv2-B
CLASSES = 10


def condition_of(row: dict[str, Any], classes: int = CLASSES) -> ConditionSpec:
    if row["conditioning"]["type"] == "text":
        return ConditionSpec(width=1024, length=256, normalize=True, padded=True)
    return ConditionSpec(width=classes + 1, length=1, learned=row["conditioning"]["condition_tokens"])


def time_tokens(row: dict[str, Any]) -> int:
    """Learned tokens of one time embedding; the row counts those of MeanFlow's two."""
    count: int = row["conditioning"]["time_tokens"]
    return count // 2 if row["meanflow"] else count


def network(row: dict[str, Any]) -> DDT:
    """A random network for a row, of small widths."""
    token = TOKEN_WIDTH if row["repa"]["use_reg"] else 0
    latent = LatentSpec(*row["latent"], cls_token_width=token)
    config = DDTConfig(**SIZES, patch_size=row["model"]["patch"][0], time_tokens=time_tokens(row))
    wanted = frozenset({"two-time"} if row["meanflow"] else ())
    net = DDT(config, latent=latent, condition=condition_of(row), wanted=wanted)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


def checkpoint(row: dict[str, Any], path: Path, **more: torch.Tensor) -> Path:
    """A file as the published program saves it: model, average, step and epoch; `more` goes over the average."""
    ema = {**export_published(network(row)), **more}
    model = {name: x + 1 for name, x in ema.items()}
    torch.save({"step": 7, "epoch": 1, "model": model, "ema": ema, "optimizer": {"state": {}}}, path)
    return path


def configuration(row: dict[str, Any]) -> dict[str, Any]:
    """The published YAML of a row with the sizes of `network`."""
    text = row["conditioning"]["type"] == "text"
    values: dict[str, Any] = {
        "stage_1": _stage_1(row["tokenizer"]),
        "stage_2": {
            "target": "stage2.models.DDT.DiTwDDTHead",
            "ckpt": "pretrained_models/some.pt",
            "params": {
                "input_size": row["model"]["input_size"],
                "patch_size": row["model"]["patch"],
                "in_channels": row["model"]["channels"],
                "hidden_size": [SIZES["hidden"], SIZES["decoder_hidden"]],
                "depth": [SIZES["depth"], SIZES["decoder_depth"]],
                "num_heads": [SIZES["heads"], SIZES["decoder_heads"]],
                "mlp_ratio": row["model"]["mlp_ratio"],
            },
        },
        "conditioning": {
            "type": row["conditioning"]["type"],
            "cfg_dropout_prob": row["conditioning"]["dropout"],
            "arch": {"num_t_tokens": time_tokens(row)},
        },
        "transport": {"prediction": row["prediction"], "time_dist_type": row["time_distribution"]},
        "sampler": {"num_steps": row["sampler"]["steps"]},
        "guidance": {
            "cfg": {
                "scale": row["guidance"]["cfg_scale"],
                "t_min": row["guidance"]["t_min"],
                "t_max": row["guidance"]["t_max"],
            }
        },
        "dataset": {"target": row["data"]["target"], "condition_type": row["conditioning"]["type"]},
        "training": {"epochs": row["training"]["epochs"], "image_size": row["image_size"]},
        "eval": {"eval_interval": 25000},
        "misc": {
            "latent_size": row["latent"],
            "num_classes": 1000 if text else CLASSES,
            "time_dist_shift_dim": row["shift_dim"],
            "time_dist_shift_base": 4096,
        },
    }
    if text:
        values["conditioning"]["text_encoder"] = {"model_name": "Qwen/Qwen3-0.6B", "max_length": 256}
    else:
        values["conditioning"]["arch"]["num_c_tokens"] = row["conditioning"]["condition_tokens"]
    if row["sampling_shift"] != row["training_shift"]:  # every such row samples with a shift of 1
        values["misc"]["time_dist_shift_base_eval"] = row["shift_dim"]
    if row["meanflow"]:
        values["transport"]["meanflow"] = row["meanflow"]
    if row["repa"]["use_reg"]:
        values["repa"] = {
            "use_repa": row["repa"]["use_repa"],
            "use_reg": True,
            "reg_coeff": row["repa"]["reg_coeff"],
            "repa_layer_depth": 8,
            "repa_coeff": 0.5,
            "target_encoder": row["repa"]["encoder"],
            "target_encoder_resolution": row["repa"]["encoder_resolution"],
        }
    if row["perceptual"]:
        values["perceptual_loss"] = {
            "encoders": row["perceptual"]["encoders"],
            "percep_loss_weights": row["perceptual"]["weights"],
        }
        values["transport"]["percep_loss_t_thresh"] = row["perceptual"]["below_t"]
    return values


def _stage_1(tokenizer: dict[str, Any]) -> dict[str, Any]:
    target = {"PixelEncoder": "stage1.pixel.PixelEncoder"}.get(tokenizer["cls"], f"stage1.{tokenizer['cls']}")
    params: dict[str, Any] = {"resolution": tokenizer["resolution"]}
    if tokenizer["cls"] in ("VAE", "QwenVAE"):
        params["vae_type"] = tokenizer["name"]
    if tokenizer["cls"] == "RAE":
        folder = f"pretrained_models/stage1/decoders/{tokenizer['name']}"
        params |= {
            "encoder_name": tokenizer["name"],
            "decoder_config_path": f"configs/decoder/{tokenizer['decoder']}",
            "pretrained_decoder_path": f"{folder}/decoder.pt",
            "noise_tau": tokenizer["noise"],
            "normalization_stat_path": f"{folder}/stats.pt",
        }
    return {"target": target, "params": params}
