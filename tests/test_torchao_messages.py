"""The command line hides torchao's messages about its C++ extensions and its enum, and no others."""

import logging
from collections.abc import Iterator

import pytest

from nanogen_files.torchao_messages import hide_torchao_messages

EXTENSION = "Failed to load /lib/torchao/_C_mxfp8.so: Could not load this library: /lib/torchao/_C_mxfp8.so"
OLD_TORCH = "Skipping import of cpp extensions due to incompatible torch version. Please upgrade to torch >= 2.11.0."
ENUM = "<enum '{}'> is an Enum subclass and is now natively supported by torch.compile as an opaque value type."
TORCHAO, PYTREE = "torchao", "torch.utils._pytree"
HIDDEN = {(TORCHAO, EXTENSION), (TORCHAO, OLD_TORCH)} | {
    (PYTREE, ENUM.format(name)) for name in ("KernelPreference", "ScaleCalculationMode")
}
SHOWN = {(PYTREE, ENUM.format("Colour")), (PYTREE, EXTENSION), (TORCHAO, "The recipe is deprecated.")}


@pytest.fixture(autouse=True)
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    """The records that pass both loggers, which have no filters at first."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    loggers = [logging.getLogger(name) for name in (TORCHAO, PYTREE)]
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
