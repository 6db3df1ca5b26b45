"""One module for each kind of fixture. Each has `measure(path) -> Iterable[Measurement]`."""
