"""Infers the architecture of a published checkpoint from its tensor shapes and its JSON description."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.description import network_part
from nanogen_dit.published.layout import GUIDANCE_NAMES
from nanogen_dit.shapes import Shapes, size

TABLE = "embedding_table.weight"


@frozen
class Architecture:
    """Architecture of a checkpoint.

    Args:
        backbone: Name of the component, "ddt" or "lightning-dit".
        settings: Options of the backbone.
        latent: Shape of the state.
        condition: Shape of the condition.
        wanted: Capabilities for which the network has tensors, such as "two-time".
    """

    backbone: str
    settings: Mapping[str, Any]
    latent: LatentSpec
    condition: ConditionSpec
    wanted: frozenset[str]


def infer(shapes: Shapes, config: Mapping[str, Any] | None = None) -> Architecture:
    """Infer the architecture of a network.

    Args:
        shapes: Shapes of the tensors by published name.
        config: JSON description. A network with an internal-guidance head needs `base_model_depth`. If the checkpoint
            has no tables of the rotary embedding, `input_size` is needed, and for texts also `cond_arch.num_c_tokens`.
            With tables, a LightningDiT for texts needs one of these two.

    Raises:
        DataError: A tensor or key is missing or invalid, or shapes and description disagree.
    """
    given = network_part(config)
    try:
        return _Inference(shapes, given).architecture()
    except KeyError as error:
        raise DataError(
            f"The checkpoint is not in the layout of DiffusionBench: {error.args[0]} is missing. Use a published"
            " checkpoint."
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"The JSON description or a shape of the network is invalid: {error}. "
            "Correct the JSON description, or use another checkpoint."
        ) from error


class _Inference:
    """Architecture of one set of shapes and one description."""

    def __init__(self, shapes: Shapes, config: Mapping[str, Any]):
        self.shapes = shapes
        self.config = config
        self.decoupled = "s_embedder.proj.weight" in shapes
        patches = "s_embedder.proj.weight" if self.decoupled else "x_embedder.proj.weight"
        self.channels, self.patch = size(shapes, patches, 1), size(shapes, patches, 2)
        self.token_weight = "cls_in_proj_enc.weight" if self.decoupled else "cls_in_proj.weight"
        self.cls_token_width = size(shapes, self.token_weight, 1) if self.token_weight in shapes else 0
        self.adaln_blocks = [i for i in range(self._depth()) if f"blocks.{i}.adaln_modulation.1.weight" in shapes]

    def architecture(self) -> Architecture:
        self._agree()
        side = self._side()
        latent = LatentSpec(self.channels, side, side, cls_token_width=self.cls_token_width)
        wanted = {
            "two-time": "t_abs_embedder.W",
            "cfg-conditioned": "omega_embedder.W",
            "cls-token": self.token_weight,
            "internal-head": "base_final_layer.linear.weight",
        }
        return Architecture(
            "ddt" if self.decoupled else "lightning-dit",
            self._settings(),
            latent,
            self._condition(side),
            frozenset(word for word, key in wanted.items() if key in self.shapes),
        )

    def _settings(self) -> dict[str, Any]:
        encoder = self._trunk(0)
        settings: dict[str, Any] = {
            **encoder,
            "depth": self._depth() - len(self.adaln_blocks),
            "mlp_ratio": self._mlp_ratio(encoder["hidden"]),
            "patch_size": self.patch,
            "time_tokens": self._size("t_embedder.learnable_tokens", 0),
        }
        if self.decoupled:
            if not self.adaln_blocks:
                raise KeyError("blocks.N.adaln_modulation.1.weight")
            decoder = {**self._trunk(self.adaln_blocks[0]), "depth": len(self.adaln_blocks)}
            settings |= {f"decoder_{name}": number for name, number in decoder.items()}
        if "base_final_layer.linear.weight" in self.shapes:
            settings["internal_head_depth"] = self._internal_depth()
        return settings

    def _depth(self) -> int:
        return len({name.split(".")[1] for name in self.shapes if name.startswith("blocks.")})

    def _trunk(self, block: int) -> dict[str, int]:
        hidden = self._size(f"blocks.{block}.norm1.weight", 0)
        return {"hidden": hidden, "heads": hidden // self._size(f"blocks.{block}.attn.q_norm.weight", 0)}

    def _mlp_ratio(self, hidden: int) -> float:
        """Return the description's ratio, or the middle of those with `int(2/3 * ratio * hidden) == inner`."""
        inner = self._size("blocks.0.mlp.w1.weight", 0)
        ratio = float(self.config.get("mlp_ratio", 4.0))
        return ratio if int(2 / 3 * ratio * hidden) == inner else 1.5 * (inner + 0.5) / hidden

    def _internal_depth(self) -> int:
        if "base_model_depth" not in self.config:
            raise DataError(
                "The network has an internal-guidance head, but no shape determines which block the head reads."
                " Set `base_model_depth` in the JSON description of the network."
            )
        return int(self.config["base_model_depth"])

    def _condition(self, side: int) -> ConditionSpec:
        if f"ctx_embedder.{TABLE}" in self.shapes:
            learned = self._size("ctx_embedder.learnable_tokens", 0)
            return ConditionSpec(width=self._size(f"ctx_embedder.{TABLE}", 0), length=1, learned=learned)
        width = self._size("ctx_embedder.proj.weight", 1)
        normalize = "ctx_embedder.norm.weight" in self.shapes
        return ConditionSpec(width=width, length=self._text_length(side), normalize=normalize, padded=True)

    def _text_length(self, side: int) -> int:
        length = self.config.get("cond_arch", {}).get("num_c_tokens")
        if length is None:
            return self._rope_length() - self._leading() - self._time_tokens() - (side // self.patch) ** 2
        return int(length)

    def _side(self) -> int:
        """Side of the square latent in cells."""
        if "input_size" in self.config:
            return int(self.config["input_size"])
        return isqrt(self._image_tokens()) * self.patch

    def _image_tokens(self) -> int:
        if "dec_rope.freqs_cos" in self.shapes:
            return self._size("dec_rope.freqs_cos", 0) - self._leading()
        learned = self._learned("ctx_embedder")
        tokens = learned or self.config.get("cond_arch", {}).get("num_c_tokens")
        if tokens is None:
            raise DataError(
                "The tensor shapes do not determine the latent size. Set `input_size` in the JSON description."
            )
        return self._rope_length() - self._leading() - self._time_tokens() - int(tokens)

    def _rope_length(self) -> int:
        name = "enc_rope.freqs_cos" if self.decoupled else "rope.freqs_cos"
        if name not in self.shapes:
            raise DataError(
                f"The checkpoint has no table {name}. Set `input_size` in its JSON description, and for texts also"
                " `cond_arch.num_c_tokens`."
            )
        return self._size(name, 0)

    def _leading(self) -> int:
        return int(self.cls_token_width > 0)

    def _time_tokens(self) -> int:
        names = ("t_embedder", "t_abs_embedder", *GUIDANCE_NAMES.values())
        return sum(map(self._learned, names))

    def _learned(self, embedder: str) -> int:
        """Return the number of learned tokens of an embedder; 0 if it is missing."""
        name = f"{embedder}.learnable_tokens"
        return self._size(name, 0) if name in self.shapes else 0

    def _size(self, name: str, axis: int) -> int:
        return size(self.shapes, name, axis)

    def _agree(self) -> None:
        """Raise DataError if description and shapes disagree."""
        settings = self._settings()
        patch = [self.patch, self.patch] if self.decoupled else self.patch
        found: dict[str, Any] = {"in_channels": self.channels, "patch_size": patch}
        if "dec_rope.freqs_cos" in self.shapes:
            found["input_size"] = isqrt(self._image_tokens()) * self.patch
        for theirs, ours in {"hidden_size": "hidden", "depth": "depth", "num_heads": "heads"}.items():
            found[theirs] = [settings[ours], settings[f"decoder_{ours}"]] if self.decoupled else settings[ours]
        for name, value in found.items():
            if name in self.config and self.config[name] != value:
                raise DataError(
                    f"The JSON description has {name} {self.config[name]}, but the tensors have {value}. "
                    "Use the JSON description of this checkpoint."
                )
