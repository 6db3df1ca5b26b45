"""Speed benchmarks: ratios of two programs that run in turn in one process."""
