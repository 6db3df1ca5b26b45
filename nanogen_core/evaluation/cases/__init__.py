"""Cases of published evaluation code: an input, what that code answered, and how near an answer must come.

A plugin brings the functions that answer them: a module `evaluation_cases` beside its manifest, with `RUNNERS`.

    RUNNERS = Runners()

    @RUNNERS.add("clipscore", "image", "text")
    def clipscore(given): ...
"""

from nanogen_core.evaluation.cases.described import array, number, pictures
from nanogen_core.evaluation.cases.runners import Runners, installed

__all__ = ["Runners", "array", "installed", "number", "pictures"]
