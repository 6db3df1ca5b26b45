"""Comparison of two training runs (`nanogen bench audit`): do they differ in anything but the task?

>>> from nanogen_bench.audit.compare import audit
>>> found = audit("runs/class", "runs/text")
>>> found.equal, [line.name for line in found.lines if line.verdict == "differs"]

Options are compared exactly. Those in `configured.ALLOWED`, such as the seed, may differ. If the tasks differ, options
of the task may differ too. Logged values, such as losses and `nanogen_train.logging.statistics`, are compared with
tolerances. Only the second half of the steps that both runs logged counts.
"""
