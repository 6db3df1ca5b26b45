"""Conversion of recorded settings of a network and its training to a configuration of this library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from nanogen_core.errors import DataError, listing
from nanogen_files.errors import counted

BACKBONES = {"lightningdit": "lightning-dit", "ddt": "ddt"}
PREDICTIONS = {"velocity": "velocity", "x": "x"}
#: Names of a setting; the first one is that of this library.
TRUNK = (("hidden", "hidden_size"), ("depth",), ("heads", "num_heads"))
REST = (
    ("patch", "patch_size"),
    ("channels", "in_channels"),
    ("side", "input_size"),
    ("classes", "num_classes"),
    ("t_tokens", "num_t_tokens"),
    ("c_tokens", "num_c_tokens"),
)
SIDES = {"encoder": ("", "encoder_", "enc_"), "decoder": ("decoder_", "dec_")}  # prefixes of a DDT's settings
FIXED = {"optimizer": "AdamW", "sampling_of_rows": "uniform with replacement", "precision": "float32"}
NUMBER = r"(-?\d+(?:\.\d+)?)"
TIME = re.compile(rf"logit-normal[ _(]+{NUMBER}[ ,_]+{NUMBER}\)?(?:,? *shift {NUMBER})?")


@frozen
class Network:
    """A network for latents [channels, side, side] and labels."""

    backbone: Mapping[str, Any]  # the component's name and options
    channels: int
    side: int
    classes: int
    condition_tokens: int


class Settings:
    """Settings that are read one by one. Settings that remain unread are unknown."""

    def __init__(self, values: Mapping[str, Any], what: str):
        self._values, self._what = dict(values), what

    def take(self, *names: str, **default: Any) -> Any:
        """Return the value of the first existing name, or the default. Raises DataError without either."""
        for name in names:
            if name in self._values:
                return self._values.pop(name)
        if not default:
            raise DataError(f"The recorded {self._what} has no {names[0]!r}: add it to the JSON file of the curve.")
        return default["default"]

    def finish(self) -> None:
        """Raise DataError if a setting other than a note was not read."""
        if unknown := [name for name in self._values if not name.startswith("note")]:
            raise DataError(
                f"The recorded {self._what} has settings that this benchmark does not support: {listing(unknown)}."
            )


def network_of(recorded: Mapping[str, Any]) -> Network:
    """Return the network. Raises DataError for another kind of network, and for unknown or missing settings."""
    settings = Settings(dict(_flat(recorded)), "network")
    kind = _known(BACKBONES, "kind", re.sub(r"[-_]", "", str(settings.take("kind"))).lower())
    trunk: dict[str, int] = {}
    for names in TRUNK:
        trunk |= dict(_encoder_and_decoder(settings, names, kind))
    patch, channels, side, classes, time_tokens, condition_tokens = (settings.take(*names) for names in REST)
    backbone = {
        "name": kind,
        **trunk,
        "mlp_ratio": settings.take("mlp_ratio", default=4.0),
        "patch_size": patch[0] if isinstance(patch, list) else patch,  # (rows, columns)
        "time_tokens": time_tokens,
    }
    settings.finish()
    return Network(backbone, channels, side, classes, condition_tokens)


def configuration(network: Network, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of `build_pipeline`. Raises DataError for unknown or missing settings."""
    training = Settings(recorded, "training")
    mean, std, shift = _times(str(training.take("time")))
    for name, value in FIXED.items():
        _known({value: value}, name, training.take(name, default=value))
    beta1, beta2 = training.take("betas")
    found = {
        "image_size": network.side,
        "conditioner": {"name": "label", "learned": network.condition_tokens},
        "backbone": network.backbone,
        "objective": {
            "name": "flow",
            "prediction": _known(PREDICTIONS, "prediction", training.take("prediction")),
            "time_mean": mean,
            "time_std": std,
            "shift": training.take("shift", "time_shift", default=shift),
            "t_eps": training.take("t_eps"),
        },
        "stage": {
            "name": "diffusion",
            "ema_decay": training.take("ema"),
            "condition_dropout": training.take("label_dropout"),
        },
        "optimizer": {"name": "adamw", "beta1": beta1, "beta2": beta2}
        | {name: training.take(name) for name in ("lr", "eps", "weight_decay")},
        "schedule": "constant",
        "train": {
            "steps": training.take("steps"),
            "batch_size": training.take("batch"),
            "gradient_clip": training.take("clip"),
            "precision": "fp32",
        },
    }
    training.finish()
    return found


def _flat(network: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Flatten settings. Names of those under `encoder` and `decoder` get these prefixes."""
    for name, value in network.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}_{key}" if name in SIDES else key, number) for key, number in value.items())
        else:
            yield name, value


def _encoder_and_decoder(settings: Settings, names: tuple[str, ...], kind: str) -> Iterator[tuple[str, int]]:
    """Return a setting of the blocks. For a DDT: a pair (encoder, decoder), two settings, or one value for both."""
    own = settings.take(*(begin + name for begin in SIDES["encoder"] for name in names))
    other = settings.take(*(begin + name for begin in SIDES["decoder"] for name in names), default=None)
    numbers = [*(own if isinstance(own, list) else [own]), *([] if other is None else [other])]
    if kind == "ddt" and names[0] != "depth" and len(numbers) == 1:
        numbers *= 2
    if len(numbers) != (2 if kind == "ddt" else 1):
        raise DataError(
            f"The recorded network has {names[0]} {numbers}: a {kind} needs"
            f" {counted(2 if kind == 'ddt' else 1, 'value')}."
        )
    return zip((names[0], f"decoder_{names[0]}"), numbers, strict=False)


def _known(table: Mapping[str, str], name: str, value: Any) -> str:
    if value not in table:
        raise DataError(f"The recorded {name} is {value!r}. This benchmark supports {listing(table)}.")
    return table[value]


def _times(text: str) -> tuple[float, float, float]:
    """Parse mean, standard deviation and shift of a text such as `logit-normal 0 1, shift 1`."""
    found = TIME.fullmatch(text.strip())
    if found is None:
        raise DataError(f"The recorded time is {text!r}. It must have the form 'logit-normal MEAN STD, shift SHIFT'.")
    mean, std, shift = found.groups()
    return float(mean), float(std), float(shift or 1.0)
