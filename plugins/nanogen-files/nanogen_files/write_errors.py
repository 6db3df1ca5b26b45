"""Turn operating system errors while writing, such as a full disk, into errors for the user."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  #: no space, quota exceeded, file too large


@contextmanager
def translate_write_errors(
    translate: Callable[[str], Exception], codes: Collection[int] | None = DISK_FULL
) -> Iterator[None]:
    """Raise an error for the user if the block raises an OSError.

    Args:
        translate: Returns the exception to raise for a reason such as `"No space left on device"`.
        codes: Error numbers (`errno`) to replace. Other errors pass unchanged. None replaces every OSError.
    """
    try:
        yield
    except OSError as error:
        if codes is not None and error.errno not in codes:
            raise
        raise translate(error.strerror or str(error)) from error
