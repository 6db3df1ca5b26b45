"""The test module that `contract_run` gives to pytest. It contains the contract classes of the checked plugin."""

from nanogen_scaffold.checks.contract_run import Recorder

globals().update(Recorder.current.classes())
