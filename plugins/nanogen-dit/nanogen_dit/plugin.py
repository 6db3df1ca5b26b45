"""The manifest: three backbones. Importing it loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

ABILITIES = frozenset({"two-time", "cfg-conditioned", "features", "cls-token", "internal-head", "jvp"})


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="backbone",
            name="lightning-dit",
            target="nanogen_dit.lightning_dit:LightningDiT",
            config="nanogen_dit.config:LightningDiTConfig",
            summary="Transformer with RoPE, SwiGLU and the condition in context",
            provides=ABILITIES,
            importer="nanogen_dit.published.importer:from_weights",
        ),
        Component(
            kind="backbone",
            name="ddt",
            target="nanogen_dit.ddt:DDT",
            config="nanogen_dit.config:DDTConfig",
            summary="The same encoder, and a wide shallow decoder that it steers token by token",
            provides=ABILITIES,
            importer="nanogen_dit.published.importer:from_weights",
        ),
        Component(
            kind="backbone",
            name="dit",
            target="nanogen_dit.dit:DiT",
            config="nanogen_dit.dit_config:DiTConfig",
            summary="DiT and SiT: fixed positions, one vector of time and condition steers every block (adaLN-Zero)",
            provides=frozenset({"two-time", "features", "jvp"}),
            importer="nanogen_dit.dit_published.importer:from_weights",
        ),
    ]
