"""The test module that `contracts` gives to pytest. It contains the contract classes of the checked plugin."""

from nanogen_scaffold.checks.contracts import Recorder

globals().update(Recorder.classes)
