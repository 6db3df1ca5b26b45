"""Record what the public JiT code computes with random weights: `python record_jit.py CHECKOUT FILE`.

CHECKOUT is a clone of github.com/LTH14/JiT (MIT). It needs einops, which the tests do not. Weights are random
everywhere, also where a fresh network has zeros. The file holds data only: weights of a small
network, its outputs, the loss at given times, and guided samples with a noise scale of 2.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # the public code compiles its blocks

import torch
from safetensors.torch import save_file

SIZES = {
    "input_size": 16, "patch_size": 4, "hidden_size": 24, "depth": 3, "num_heads": 2, "num_classes": 5,
    "bottleneck_dim": 10, "in_context_len": 3, "in_context_start": 1,
}  # fmt: skip
OPTIONS = {
    "model": "small", "img_size": 16, "class_num": 5, "attn_dropout": 0.0, "proj_dropout": 0.0, "label_drop_prob": 0.1,
    "P_mean": -0.8, "P_std": 0.8, "t_eps": 0.05, "noise_scale": 2.0, "ema_decay1": 0.9999, "ema_decay2": 0.9996,
    "num_sampling_steps": 6, "cfg": 2.5, "interval_min": 0.1, "interval_max": 1.0,
}  # fmt: skip


@torch.no_grad()
def main(checkout: str, file: str) -> None:
    sys.path.insert(0, checkout)
    torch.Tensor.cuda = lambda self: self  # type: ignore[method-assign, assignment]  # its attention asks for a GPU
    import denoiser
    from model_jit import JiT

    denoiser.JiT_models["small"] = lambda **given: JiT(**{**given, **SIZES})
    torch.manual_seed(0)
    model = denoiser.Denoiser(SimpleNamespace(**OPTIONS, sampling_method="heun")).eval()
    for parameter in model.net.parameters():
        if parameter.requires_grad:  # not the table of positions
            torch.nn.init.normal_(parameter, std=0.15)
    x, t, labels = torch.randn(3, 3, 16, 16), torch.tensor([0.05, 0.6, 0.98]), torch.tensor([0, 4, 5])
    found = {f"net.{name}": value for name, value in model.net.state_dict().items()}
    found |= {"in.x": x, "in.t": t, "in.labels": labels, "out.x": model.net(x, t, labels)}

    images, noise = torch.rand(3, 3, 16, 16) * 2 - 1, torch.randn(3, 3, 16, 16)
    model.sample_t = lambda count, device: t  # the three times, of which one is damped
    real, torch.randn_like = torch.randn_like, lambda like: noise
    found |= {"in.images": images, "in.noise": noise, "out.loss": model(images, labels)}
    torch.randn_like = real

    start = torch.randn(3, 3, 16, 16)
    torch.randn = lambda *size, **options: start  # type: ignore[assignment]
    for method in ("euler", "heun"):
        model.method = method
        found[f"out.{method}"] = model.generate(torch.tensor([0, 3, 4]))
    found["in.start"] = start
    save_file({name: value.contiguous() for name, value in found.items()}, file)
    print(f"{os.path.getsize(file):,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
