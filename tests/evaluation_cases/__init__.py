"""Cases of published evaluation code: an input, what that code answered, and how near an answer must come.

`fidelity` and `textscore` hold the functions that answer them, each a table `RUNNERS`.

    RUNNERS = Runners()

    @RUNNERS.add("clipscore", "image", "text")
    def clipscore(given): ...
"""

from tests.evaluation_cases.described import array, number, pictures
from tests.evaluation_cases.runners import Runners, installed

__all__ = ["Runners", "array", "installed", "number", "pictures"]
