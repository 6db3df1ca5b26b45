"""The kinds of component for which a project can be generated. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

TYPED, NETWORK = "attrs>=23.2", "torch>=2.9"
BOTH_TASKS = ("nanogen-imagenet", "nanogen-t2i[minilm]", "nanogen-openmoji", "nanogen-dit", "nanogen-flow")


@frozen
class Template:
    """Facts about the project that is generated for one kind of component.

    Args:
        summary: What the generated component is or does, without a full stop.
        contents: What the file of the component contains, for the README.
        requires: Requirements of the project in addition to nanogen-core, nanogen-files, attrs and torch.
        options: Options in `example.yaml`, as a YAML mapping without braces.
        group: Whether a configuration can select any number of components of this kind.
    """

    summary: str
    contents: str
    requires: tuple[str, ...] = ()
    options: str = ""
    group: bool = False


KINDS: Mapping[str, Template] = {
    "tokenizer": Template(
        "Space-to-depth: each latent cell holds the pixels of a square", "images to latents and back"
    ),
    "backbone": Template("A small diffusion transformer", "the network", options="width: 128, depth: 4, heads: 4"),
    "objective": Template("Flow matching with logit-normal times", "the path, the loss and the sampling step"),
    "conditioner": Template("Class names or captions as a sequence of bytes", "labels or captions to tokens"),
    "task": Template(
        "Text-to-image on any dataset with captions", "batches and requests", ("nanogen-data", "pillow>=10.1")
    ),
    "metric": Template(
        "Mean contrast of the images, and the share of nearly uniform images",
        "the scores",
        ("nanogen-eval",),
        group=True,
    ),
    "auxiliary": Template(
        "L1 distance between the predicted and the clean latent", "the additional loss", ("nanogen-train",), group=True
    ),
    "guidance": Template("Classifier-free guidance", "the guided velocity", options="scale: 3.0", group=True),
    "sampler": Template("The midpoint method, second order", "integration from noise to data"),
    "stage": Template(
        "Trains the backbone and its exponential moving average",
        "what the training loop trains",
        ("nanogen-train",),
        "ema_decay: 0.995",
    ),
    "method": Template(
        "Flow matching with logit-normal times, as a method",
        "the path, the loss and the sampling step",
        ("nanogen-dit", "nanogen-vae"),
    ),
}
