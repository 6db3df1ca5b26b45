"""DiffusionBench: what the scores of one task say about those of the other, and how sure that is.

>>> from nanogen_core.bench.study import study
>>> from nanogen_core.bench.table import read_table
>>> found = study(read_table("published"), x="fid_cfg", ys=["geneval"])

The statistics are SciPy's and statsmodels': `pip install 'nanogen-core[bench]'`. Nothing here needs torch.
"""
