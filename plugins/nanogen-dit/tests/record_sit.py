"""Records what the public SiT code computes with random weights: `python record_sit.py CHECKOUT FOLDER`.

CHECKOUT is a clone of github.com/willisma/SiT (MIT). It needs timm and torchdiffeq, which the tests do not. Weights are
random everywhere, also where a fresh network has zeros. The files hold data only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

CASES: dict[str, dict[str, Any]] = {
    "sit_sigma": {
        "input_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "hidden_size": 48,
        "depth": 3,
        "num_heads": 4,
        "num_classes": 7,
        "learn_sigma": True,
    },
    "sit_plain": {
        "input_size": 12,
        "patch_size": 4,
        "in_channels": 5,
        "hidden_size": 32,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 3.0,
        "num_classes": 5,
        "learn_sigma": False,
    },
}
ROWS, STEPS, SCALE = 3, 12, 2.5


def main(checkout: str, folder: str) -> None:
    """Write a pair of files for each case."""
    sys.path.insert(0, checkout)
    from models import SiT
    from transport import Sampler, create_transport

    for seed, (name, sizes) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        model = SiT(**sizes).eval()
        for parameter in model.parameters():
            if parameter.requires_grad:  # not the table of positions
                torch.nn.init.normal_(parameter, std=0.15)
        transport = Sampler(create_transport("Linear", "velocity", None, None, None))
        # their count is of the points of the grid
        sample = transport.sample_ode(sampling_method="euler", num_steps=STEPS + 1)
        tensors = {f"ckpt.{key}": value for key, value in model.state_dict().items()} | record(model, sizes, sample)
        save_file({key: value.contiguous() for key, value in tensors.items()}, Path(folder) / f"{name}.safetensors")
        facts = {"config": sizes, "steps": STEPS, "scale": SCALE, "torch": torch.__version__}
        (Path(folder) / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")


@torch.no_grad()
def record(model: Any, sizes: dict[str, Any], sample: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Inputs and outputs: velocities in SiT's convention, and latents of its ODE by Euler's method."""
    shape = (ROWS, sizes["in_channels"], sizes["input_size"], sizes["input_size"])
    x, noise = torch.randn(shape), torch.randn(shape)
    t, steps = torch.tensor([0.05, 0.5, 0.93]), torch.tensor([0.0, 417.0, 999.0])
    labels, null = torch.tensor([0, sizes["num_classes"] - 1, 2]), torch.full((ROWS,), sizes["num_classes"])

    def guided(z: Tensor, t: Tensor, y: Tensor, cfg_scale: float) -> Tensor:
        """Classifier-free guidance of all channels, which their code describes in a comment."""
        conditional, unconditional = model(torch.cat([z[:ROWS]] * 2), t, y).chunk(2)
        return torch.cat([unconditional + cfg_scale * (conditional - unconditional)] * 2)

    both = {"y": torch.cat([labels, null]), "cfg_scale": SCALE}
    twice = torch.cat([noise, noise])
    return {
        "in.x": x,
        "in.t": t,
        "in.steps": steps,
        "in.labels": labels,
        "in.noise": noise,
        "out.model": model(x, t, labels),
        "out.model_null": model(x, t, null),
        "out.model_at_steps": model(x, steps, labels),
        "out.sample": sample(noise, model.forward, y=labels)[-1],
        "out.sample_cfg_three": sample(twice, model.forward_with_cfg, **both)[-1][:ROWS],
        "out.sample_cfg_all": sample(twice, guided, **both)[-1][:ROWS],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
