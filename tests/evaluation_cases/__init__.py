"""Evaluation cases: inputs, the outputs of published evaluation code, and tolerances.

The modules `fidelity` and `textscore` register a function for each kind of input in their table `RUNNERS`:

    RUNNERS = Runners()

    @RUNNERS.add("clipscore", "image", "text")
    def clipscore(given): ...
"""

from tests.evaluation_cases.described import array, number, pictures
from tests.evaluation_cases.runners import Runners, installed

__all__ = ["Runners", "array", "installed", "number", "pictures"]
