"""Resources of a job. Does not import submitit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen, validators

from nanogen_core.validators import at_least, positive
from nanogen_files.errors import ConfigError

#: Options of sbatch that have their own option or that the job needs.
RESERVED = {
    "time": "use --hours",
    **dict.fromkeys(("gpus", "gpus_per_node", "gpus_per_task"), "use --gpus-per-job"),
    "partition": "use --partition",
    **dict.fromkeys(
        ("array", "dependency", "error", "job_name", "kill_on_invalid_dep", "nodes", "ntasks_per_node", "open_mode",
         "output", "requeue", "signal"),
        "the command sets it",
    ),
}  # fmt: skip


@frozen(kw_only=True)
class Resources:
    """Resources of one job.

    Attributes:
        gpus: Number of GPUs. None: no request to SLURM; a local job sees all visible GPUs.
        hours: Time limit in hours. A training that reaches it is requeued and resumes from its checkpoint.
        partition: SLURM's partition.
        slurm: Other options of sbatch without their dashes, such as `{"mem": "64G"}`; True for one without a value.
    """

    gpus: int | None = field(default=None, validator=validators.optional(at_least(1, 64)))
    hours: float = field(default=24.0, validator=positive)
    partition: str | None = None
    slurm: Mapping[str, str | bool] = field(factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of submitit's SlurmExecutor."""
        own = {"time": max(1, math.ceil(self.hours * 60)), "gpus_per_node": self.gpus, "partition": self.partition}
        return {name: value for name, value in own.items() if value is not None}


def sbatch_options(words: Sequence[str]) -> dict[str, str | bool]:
    """Read `KEY=VALUE` or `KEY`: `("mem=64G", "exclusive")` becomes `{"mem": "64G", "exclusive": True}`.

    Raises ConfigError for a word of another form, or an option of sbatch that NanoGen sets (`RESERVED`).
    """
    options: dict[str, str | bool] = {}
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("-").replace("-", "_")
        if not name.isidentifier():
            raise ConfigError(f"--slurm {word}: write KEY=VALUE with an option of sbatch, such as mem=64G.")
        reserved = "gpus" if name == "gres" and value.startswith("gpu") else name
        if reserved in RESERVED:
            raise ConfigError(f"--slurm {word} is not possible: {RESERVED[reserved]}.")
        options[name] = value if equals else True
    return options
