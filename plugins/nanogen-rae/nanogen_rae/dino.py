"""DINO (Caron et al., arXiv 2104.14294) as in the published discriminator: tanh GELU, norms with eps 1e-6."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nanogen_core.errors import DataError
from nanogen_files import json_files
from nanogen_files.errors import cause
from nanogen_files.weights import read_weights
from nanogen_rae.vit import Block, Sizes

EPS = 1e-6
HEAD_WIDTH = 64  # in every published DINO
CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")

#: Names on the Hugging Face hub -> original names. Queries, keys and values are concatenated separately (QUERY).
NAMES = (
    (r"embeddings\.cls_token", r"cls_token"),
    (r"embeddings\.position_embeddings", r"pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
)
QUERY = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.query\.(\w+)")


class DinoViT(nn.Module):
    """DINO's ViT, without the final norm. Its position table determines the size of the images.

    Args:
        state: Weights under their original names. They determine the sizes.
        heads: Number of attention heads.
    """

    def __init__(self, state: Mapping[str, Tensor], heads: int):
        super().__init__()
        self.width, patch, depth, hidden = Sizes.of(state)
        self.side = patch * round((state["pos_embed"].shape[1] - 1) ** 0.5)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, self.width, patch, stride=patch)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, self.width))
        self.pos_embed = nn.Parameter(torch.empty_like(state["pos_embed"]))
        self.blocks = nn.ModuleList([Block(self.width, heads, hidden, eps=EPS, gelu="tanh") for _ in range(depth)])
        self.load_state_dict({name: value for name, value in state.items() if not name.startswith("norm.")})

    def forward(self, pixels: Tensor) -> Sequence[Tensor]:
        """Return the patch tokens [B, N, D] after each block, for normalised pixels [B, 3, side, side]."""
        x = self.patch_embed["proj"](pixels).flatten(2).mT
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        states = []
        for block in self.blocks:
            x = block(x)
            states.append(x[:, 1:])
        return states


def load_dino(path: str) -> DinoViT:
    """Load the frozen network.

    Args:
        path: A file of the original repository, a folder with the files of the Hugging Face hub, or a name on the hub.

    Raises:
        DataError: The network cannot be read.
    """
    try:
        state, heads = _state(path)
        with torch.random.fork_rng(devices=[]):  # building the model draws random numbers
            network = DinoViT(state, heads)
    except (KeyError, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"The discriminator's DINO-S/8 cannot be read from {path!r} ({cause(error)}). Set `stage.dino` to the "
            f"file of the original repository (dino_deitsmall8_pretrain.pth) or to a folder with {CONFIG} and "
            f"{WEIGHTS[0]} of facebook/dino-vits8, or connect to the network once. To train without DINO, set "
            "`stage.discriminator` to 'encoder' or 'none'."
        ) from error
    return network.eval().requires_grad_(False)


def _state(path: str) -> tuple[dict[str, Tensor], int]:
    """Return the tensors under their original names, and the number of heads."""
    local = Path(path).expanduser()
    if local.is_file():
        state = read_weights(local)
        return state, Sizes.of(state).width // HEAD_WIDTH
    config = _file(path, (CONFIG,))
    heads = json_files.whole_number(json_files.read_object(config), "num_attention_heads", config)
    return original_names(read_weights(_file(path, WEIGHTS))), heads


def _file(path: str, names: Sequence[str]) -> Path:
    """Return the first of these files in a folder or a repository of the hub. Raises OSError if there is none."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        found = [folder / name for name in names if (folder / name).is_file()]
        if found:
            return found[0]
        raise FileNotFoundError(f"{folder} has no {names[0]}")
    from huggingface_hub import hf_hub_download  # not at the top: the import is slow
    from huggingface_hub.errors import EntryNotFoundError

    for name in names[:-1]:
        try:
            return Path(hf_hub_download(path, name))
        except EntryNotFoundError:
            continue
    return Path(hf_hub_download(path, names[-1]))


def original_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the hub's tensors to the original names, without final norm and pooler.

    Tensors under original names are returned as they are.
    """
    if "cls_token" in state:
        return dict(state)
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if (fused := QUERY.fullmatch(name)) is not None:
            parts = [state[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            found[f"blocks.{fused[1]}.attn.qkv.{fused[2]}"] = torch.cat(parts)
        for pattern, original in NAMES:
            if re.fullmatch(pattern, name):
                found[re.sub(pattern, original, name)] = tensor
    return found
