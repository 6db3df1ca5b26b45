"""The classes that diffusers loads from an exported folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin  # type: ignore[attr-defined, unused-ignore]
from diffusers.pipelines import ImagePipelineOutput
from PIL import Image

from nanogen_core.errors import NanoGenError
from nanogen_core.pipeline import Pipeline
from nanogen_files.images import to_pil
from nanogen_hub.diffusers_folder import to_diffusers


class NanoGenModel(ModelMixin):  # type: ignore[misc, unused-ignore]
    """A saved pipeline of NanoGen as one component of a diffusers pipeline.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: Pipeline):
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.backbone = pipeline.backbone
        self.pipeline = pipeline

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> NanoGenModel:
        """Load the pipeline in a folder. Options of diffusers, such as `torch_dtype`, have no effect."""
        return cls(Pipeline.load(folder))

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Save the pipeline in a folder."""
        self.pipeline.save(folder)

    def to(self, *args: Any, **options: Any) -> NanoGenModel:
        """Move all parts to a device. The dtype stays as configured."""
        device = torch._C._nn._parse_to(*args, **options)[0]
        if device is not None:
            self.pipeline.to(device)
        return self


class NanoGenPipeline(DiffusionPipeline):  # type: ignore[misc, unused-ignore]
    """A pipeline of NanoGen in diffusers. It generates the same images as `Pipeline.sample` with the same seed.

    Args:
        model: The saved pipeline.
        vae: VAE of diffusers, if the tokenizer is one.
        text_encoder, tokenizer: Text encoder of transformers and its text tokenizer, if there are any.
    """

    _optional_components = ["vae", "text_encoder", "tokenizer"]

    def __init__(self, model: Any, vae: Any = None, text_encoder: Any = None, tokenizer: Any = None):
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.model: Any  # set by register_modules, as are the others
        parts: dict[str, Any] = {"model": model, "vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer}
        self.register_modules(**parts)  # type: ignore[attr-defined, unused-ignore]
        given = {"vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer}
        models = {name: value for name, value in given.items() if value is not None}
        for part in (model.pipeline.tokenizer, model.pipeline.parts.get("encoder")):
            if models and hasattr(part, "set_library_models"):
                part.set_library_models(models)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Export the pipeline to an empty folder."""
        to_diffusers(self.model.pipeline, save_directory)

    @torch.no_grad()
    def __call__(
        self,
        prompt: Sequence[str | int] | str | int,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        batch_size: int = 64,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Generate one image per request.

        Args:
            prompt: Captions, or class names and numbers; one or a list.
            num_inference_steps: Sampling steps; by default as configured.
            guidance_scale: Guidance scale, 1 for none; by default as configured.
            seed: Seed of the noise. By default the initial seed of `generator`, or 0 without one.
            generator: Used for its initial seed only.
            batch_size: Number of images that are computed at once.
            output_type: "pil", "pt" (tensor [B, 3, H, W] in [0, 1]), "np" ([B, H, W, 3] in [0, 1]), or "raw" (tensor in
                [-1, 1], as `Pipeline.sample` returns it).
            return_dict: Return an ImagePipelineOutput instead of a tuple.
        """
        if output_type not in ("pil", "pt", "np", "raw"):
            raise NanoGenError(f"output_type must be pil, pt, np or raw, got {output_type!r}.")
        if isinstance(generator, list):
            raise NanoGenError(
                "generator must be one torch.Generator, not a list: image i depends on its seed and i. Give one."
            )
        if seed is None:
            seed = 0 if generator is None else generator.initial_seed()
        pixels = self.model.pipeline.generate(
            prompt,
            seed=seed,
            steps=num_inference_steps,
            guidance=guidance_scale,
            batch_size=batch_size,
            tensors=True,
        )
        images = _converted(pixels, output_type)
        if not return_dict:
            return (images,)
        return ImagePipelineOutput(images=images)  # type: ignore[no-untyped-call, unused-ignore]


def _converted(pixels: torch.Tensor, output_type: str) -> list[Image.Image] | Any:
    """Convert images [B, 3, H, W] in [-1, 1] to an output type."""
    if output_type == "raw":
        return pixels
    if output_type == "pil":
        return to_pil(pixels)
    unit = (pixels / 2 + 0.5).clamp(0, 1)
    return unit if output_type == "pt" else unit.permute(0, 2, 3, 1).cpu().numpy()
