"""DiffusionBench: what the scores of one task say about those of the other, and how sure that is.

>>> from nanogen_bench.correlation.study import study
>>> from nanogen_bench.correlation.table import read_table
>>> found = study(read_table("published"), x="fid_cfg", ys=["geneval"])

The statistics are SciPy's and statsmodels': `pip install 'nanogen-core[bench]'`. Nothing here needs torch.
"""

from typing import TYPE_CHECKING

from nanogen_core.exports import lazy_exports

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
