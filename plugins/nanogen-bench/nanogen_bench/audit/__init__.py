"""Comparison of two training runs (`nanogen bench audit`): do they differ in anything but the task?

>>> from nanogen_bench.audit.compare import audit
>>> found = audit("runs/class", "runs/text")
>>> found.equal, [line.name for line in found.lines if line.verdict == "differs"]

Configurations are compared exactly. Logged values (`nanogen_train.logging.statistics`) are compared with tolerances,
over the second half of the steps that both runs logged.
"""
