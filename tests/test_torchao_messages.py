"""The command line and worker processes hide three kinds of messages about torchao, and no others."""

import logging
from collections.abc import Iterator

import pytest

from nanogen_data.precomputed import workers
from nanogen_files.torchao_messages import DIFFUSERS, hide_torchao_messages

EXTENSION = "Failed to load /lib/torchao/_C_mxfp8.so: Could not load this library: /lib/torchao/_C_mxfp8.so"
OLD_TORCH = "Skipping import of cpp extensions due to incompatible torch version. Please upgrade to torch >= 2.11.0."
ENUM = "<enum '{}'> is an Enum subclass and is now natively supported by torch.compile as an opaque value type."
TORCHAO, PYTREE = "torchao", "torch.utils._pytree"
FORMATS = "Unable to import `torchao` Tensor objects. This may affect loading checkpoints serialized with `torchao`"
HIDDEN = {(TORCHAO, EXTENSION), (TORCHAO, OLD_TORCH), (DIFFUSERS, FORMATS)} | {
    (PYTREE, ENUM.format(name)) for name in ("KernelPreference", "ScaleCalculationMode")
}
SHOWN = {(PYTREE, ENUM.format("Colour")), (PYTREE, EXTENSION), (TORCHAO, FORMATS), (TORCHAO, "The recipe is old.")}


@pytest.fixture(autouse=True)
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    """The records that pass both loggers, which have no filters at first."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    loggers = [logging.getLogger(name) for name in (TORCHAO, PYTREE, DIFFUSERS)]
    for logger in loggers:
        monkeypatch.setattr(logger, "filters", [])
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


def test_only_these_messages_are_hidden(collected: list[logging.LogRecord]) -> None:
    def passed() -> set[tuple[str, str]]:
        collected.clear()
        for name, text in HIDDEN | SHOWN:
            logging.getLogger(name).warning("%s", text)
        return {(record.name, record.getMessage()) for record in collected}

    assert passed() == HIDDEN | SHOWN
    hide_torchao_messages()
    assert passed() == SHOWN


def loud(worker: int) -> workers.Make:
    """Write nothing, and log what torchao logs on import."""

    def make(number: int) -> None:
        for name, text in HIDDEN:
            logging.getLogger(name).warning("%s", text)
        logging.getLogger(TORCHAO).warning("number %d", number)

    return make


def test_worker_processes_hide_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert sorted(workers.run([0, 1], loud, {}, workers=2)) == [0, 1]
    assert sorted(capfd.readouterr().err.split("\n")) == ["", "number 0", "number 1"]
