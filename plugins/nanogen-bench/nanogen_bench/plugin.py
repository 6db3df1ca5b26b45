"""The manifest of nanogen-bench. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {
        "bench": (
            "nanogen_bench.cli.bench:bench",
            "DiffusionBench: compare model rankings of two tasks.",
        )
    }


@hookimpl
def nanogen_plans() -> dict[str, str]:
    return {"paper": "nanogen_bench:plans/paper.yaml"}
