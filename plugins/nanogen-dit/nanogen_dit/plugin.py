"""Plugin manifest: three backbones. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

CAPABILITIES = frozenset(
    {"two-time", "cfg-conditioned", "features", "cls-token", "internal-head", "jvp", "token-times"}
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="backbone",
            name="lightning-dit",
            target="nanogen_dit.lightning_dit:LightningDiT",
            config="nanogen_dit.config:LightningDiTConfig",
            summary="LightningDiT: RoPE, SwiGLU and in-context conditioning",
            provides=CAPABILITIES,
            importer="nanogen_dit.published.importer:from_weights",
        ),
        Component(
            kind="backbone",
            name="ddt",
            target="nanogen_dit.ddt:DDT",
            config="nanogen_dit.config:DDTConfig",
            summary="DDT: the encoder of lightning-dit, and a wide shallow decoder with adaLN per token",
            provides=CAPABILITIES,
            importer="nanogen_dit.published.importer:from_weights",
        ),
        Component(
            kind="backbone",
            name="dit",
            target="nanogen_dit.dit:DiT",
            config="nanogen_dit.dit_config:DiTConfig",
            summary="DiT and SiT: fixed positions, adaLN-Zero from one vector of time and condition",
            provides=frozenset({"two-time", "features", "jvp", "token-times"}),
            importer="nanogen_dit.dit_published.importer:from_weights",
        ),
    ]
