"""`nanogen bench audit`: are two training regimes equal but for the task? Judged line by line, by rules that are said.

>>> from nanogen_bench.audit.compare import audit
>>> found = audit("runs/class", "runs/text")
>>> found.equal, [line.name for line in found.lines if line.verdict == "differs"]

What is configured is compared exactly; what was measured, by the figures that the training loop logs
(`nanogen_train.logging.statistics`), over the second half of the steps that both runs logged.
"""
