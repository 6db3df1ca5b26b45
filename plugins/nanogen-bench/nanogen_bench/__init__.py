"""DiffusionBench: correlation of model rankings on class-conditional ImageNet and text-to-image.

>>> from nanogen_bench.correlation.study import study
>>> from nanogen_bench.correlation.table import read_table
>>> found = study(read_table("published"), x="fid_cfg", ys=["geneval"])

The correlation code needs SciPy and statsmodels, but not torch.
"""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_bench.correlation.study import study
    from nanogen_bench.correlation.table import read_table

__all__ = [
    "read_table",
    "study",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "read_table": "correlation.table",
        "study": "correlation.study",
    },
)
