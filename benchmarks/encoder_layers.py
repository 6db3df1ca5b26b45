"""Compare the blocks of EfficientNet-Lite0 as encoders of OpenMoji drawings with linear probes.

Run `python benchmarks/encoder_layers.py` (about five minutes on one core). Images of 64 pixels are enlarged so that
every block has a grid of 8 x 8 tokens. Encoders are frozen, and every probe is a ridge regression with the penalty that
is best of three on the validation split:

- class: the 64 classes of single drawings with strong transformations, from the mean token (2,048 training and 512
  validation images);
- colour: the five colours of single coloured objects in scenes, from the mean token (256 and 128);
- place: the colours of the left and of the right object of scenes of two objects, from the mean token of either half;
- PSNR: the 8 x 8 pixels of a token, from 3 x 3 tokens, for single drawings (512 training images, 256 for validation).

`openmoji-classifier` is the encoder that nanogen-rae makes from OpenMoji's own classifier.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_efficientnet.encoder import INPUT
from nanogen_efficientnet.stages import OUTPUTS
from nanogen_efficientnet.weights import load, weights_file
from nanogen_openmoji.class_images import WIDE, balanced_labels, class_images
from nanogen_openmoji.colours import COLOURS
from nanogen_openmoji.render import render
from nanogen_openmoji.scenes import Scene, World, scenes
from nanogen_rae.openmoji import OpenMojiEncoder
from nanogen_rae.pixels import prepared

GRID, SIZE, CHUNK = 8, 64, 32
PENALTIES = (1e-4, 1e-2, 1.0)  # relative to the mean square of the inputs
SINGLE = World(families={"coloured": 1.0})
PAIRS = World(families={"related": 1.0}, tinted=1.0)

Encode = Callable[[Tensor], dict[str, Tensor]]  # images [B, 3, 64, 64] -> tokens [B, 64, D] by name


class Split(NamedTuple):
    """Training and validation examples."""

    train: Tensor
    val: Tensor


class Drawings(NamedTuple):
    """Images and targets of all probes."""

    images: Split
    labels: Split
    single: Split
    colours: Split
    pairs: Split
    sides: Split  # [B, 2]: the colours of the left and the right object


def drawings(train: int, val: int, coloured: int) -> Drawings:
    """Draw the examples. The validation examples follow the training examples."""
    indices = torch.arange(train + val)
    labels = balanced_labels(indices)
    names = list(COLOURS)
    single = scenes(range(coloured * 3 // 2), seed=1, world=SINGLE)
    pairs = [pair for pair in scenes(range(coloured * 6), seed=2, world=PAIRS) if _is_row(pair)][: coloured * 3 // 2]
    sides = [[names.index(str(o.colour)) for o in sorted(pair.objects, key=lambda one: one.x)] for pair in pairs]

    def split(values: Tensor, at: int) -> Split:
        return Split(values[:at], values[at:])

    return Drawings(
        split(class_images(labels, indices, augment=WIDE), train),
        split(labels, train),
        split(render(single, size=SIZE), coloured),
        split(torch.tensor([names.index(str(one.objects[0].colour)) for one in single]), coloured),
        split(render(pairs, size=SIZE), coloured),
        split(torch.tensor(sides), coloured),
    )


def _is_row(pair: Scene) -> bool:
    return pair.description.relation in ("left of", "right of") and all(one.colour for one in pair.objects)


def ridge(inputs: Tensor, targets: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield the affine maps that minimise the squared error with each penalty, solved in float64.

    Args:
        inputs: [N, D].
        targets: [N, T].
    """
    x, y = inputs.double(), targets.double()
    mean, level = x.mean(dim=0), y.mean(dim=0)
    x = x - mean
    gram, mixed = x.T @ x, x.T @ (y - level)
    for penalty in PENALTIES:
        damped = gram + penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
        weight = torch.linalg.solve(damped, mixed)
        yield lambda new, weight=weight: (new.double() - mean) @ weight + level


def accuracy(inputs: Split, labels: Split) -> float:
    """Return the best validation accuracy of a linear classifier."""
    targets = F.one_hot(labels.train).float()
    maps = ridge(inputs.train, targets)
    return max(float((classify(inputs.val).argmax(dim=1) == labels.val).double().mean()) for classify in maps)


def psnr(tokens: Split, images: Split) -> float:
    """Return the best validation PSNR in dB of a linear decoder of 3 x 3 tokens, the mean over the images."""
    inputs, targets = Split(*map(_neighbours, tokens)), Split(*map(_patches, images))
    found = []
    for decode in ridge(inputs.train, targets.train):
        error = (decode(inputs.val).clamp(-1, 1) - targets.val) / 2  # of pixels in [0, 1]
        by_image = error.square().reshape(len(images.val), -1).mean(dim=1)
        found.append(float((-10 * by_image.log10()).mean()))
    return max(found)


def _neighbours(tokens: Tensor) -> Tensor:
    """Tokens [B, 64, D] -> each with its neighbours, [B * 64, 9 D]."""
    maps = tokens.mT.reshape(len(tokens), -1, GRID, GRID)
    return F.unfold(maps, 3, padding=1).mT.flatten(0, 1)


def _patches(images: Tensor) -> Tensor:
    return F.unfold(images, SIZE // GRID, stride=SIZE // GRID).mT.flatten(0, 1)


def encoded(encode: Encode, images: Tensor) -> dict[str, Tensor]:
    """Encode all images."""
    parts = [encode(part) for part in images.split(CHUNK)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def report(encode: Encode, drawn: Drawings, decoded: int) -> None:
    """Print a row for each kind of token."""
    images, single, pairs = (
        Split(*(encoded(encode, part) for part in split)) for split in (drawn.images, drawn.single, drawn.pairs)
    )  # type: ignore[arg-type]
    targets = Split(drawn.images.train[:decoded], drawn.images.val[: decoded // 2])
    for name in images.train:
        tokens = Split(images.train[name], images.val[name])
        classes = accuracy(Split(*(part.mean(dim=1) for part in tokens)), drawn.labels)
        colours = accuracy(Split(single.train[name].mean(dim=1), single.val[name].mean(dim=1)), drawn.colours)
        left, right = (
            accuracy(
                Split(*(_half(part[name], side) for part in pairs)), Split(*(part[:, side] for part in drawn.sides))
            )
            for side in (0, 1)
        )
        decibels = psnr(Split(tokens.train[:decoded], tokens.val[: decoded // 2]), targets)
        width = tokens.train.shape[-1]
        print(
            f"| {name} | {width} | {classes:.3f} | {colours:.3f} | {(left + right) / 2:.3f} | {decibels:.1f} |",
            flush=True,
        )


def _half(tokens: Tensor, side: int) -> Tensor:
    """Tokens [B, 64, D] -> the mean of the left (0) or right (1) half [B, D]."""
    return tokens.reshape(len(tokens), GRID, 2, GRID // 2, -1)[:, :, side].mean(dim=(1, 2))


def efficientnet(stride: int, norms: tuple[str, ...]) -> Encode:
    """Return the encoder of all blocks of a stride."""
    network = load(weights_file(None))
    blocks = [number for number, output in enumerate(OUTPUTS, start=1) if output.stride == stride]

    def encode(images: Tensor) -> dict[str, Tensor]:
        x = network.maps(prepared(images, GRID * stride, INPUT), blocks[0])
        found = {}
        for number in blocks:
            x = x if number == blocks[0] else network.blocks[number - 1](x)
            tokens = x.flatten(2).mT
            variants = {"plain": F.layer_norm(tokens, tokens.shape[-1:]), "none": tokens}
            found |= {f"block {number}, norm {norm}": variants[norm] for norm in norms}
        return found

    return encode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=2048)
    parser.add_argument("--val", type=int, default=512)
    parser.add_argument("--coloured", type=int, default=256, help="training images of the colour probes")
    parser.add_argument("--decoded", type=int, default=512, help="training images of the decoder")
    parser.add_argument("--strides", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--norms", nargs="+", default=["plain"], choices=["plain", "none"])
    chosen = parser.parse_args()
    drawn = drawings(chosen.train, chosen.val, chosen.coloured)
    print("| tokens | width | class | colour | colour by side | PSNR |\n|---|---|---|---|---|---|", flush=True)
    own = OpenMojiEncoder()
    report(lambda images: {"openmoji-classifier": own.encode(images).tokens}, drawn, chosen.decoded)
    for stride in chosen.strides:
        report(efficientnet(stride, tuple(chosen.norms)), drawn, chosen.decoded)


if __name__ == "__main__":
    main()
