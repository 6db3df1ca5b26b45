"""Distribution of caption lengths, and of the longest caption in a batch."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from nanogen_core.errors import ConfigError
from nanogen_train.stages.lengths import bucket_length


@frozen
class CaptionLengths:
    """Distribution of caption lengths.

    Args:
        shares: Maps a length in tokens to the share of captions with this length. The shares add up to 1.
    """

    shares: Mapping[int, float]

    @classmethod
    def parse(cls, text: str) -> CaptionLengths:
        """Read "20-256" (all lengths from 20 to 256, equally often) or "40,40,77" (a sample of lengths).

        Raises ConfigError for other texts.
        """
        lengths = _range(text) if "-" in text else [_number(part, text) for part in text.split(",")]
        return cls({length: lengths.count(length) / len(lengths) for length in sorted(set(lengths))})

    def of_batch(self, count: int, longest: int) -> dict[int, float]:
        """Return the probability of each length that training pads a batch to.

        Args:
            count: Captions in a batch.
            longest: Number of tokens that captions are truncated to.
        """
        result: dict[int, float] = {}
        below = cumulative = 0.0
        for length, share in sorted(self.shares.items()):
            cumulative = min(1.0, cumulative + share)
            padded = bucket_length(min(length, longest), longest)
            result[padded] = result.get(padded, 0.0) + cumulative**count - below**count  # P(longest = length)
            below = cumulative
        return result


def _range(text: str) -> list[int]:
    first, _, last = text.partition("-")
    start, stop = _number(first, text), _number(last, text)
    if stop < start:
        raise _unreadable(text)
    return list(range(start, stop + 1))


def _number(part: str, text: str) -> int:
    if not part.strip().isdecimal() or not 1 <= int(part) <= 100_000:
        raise _unreadable(text)
    return int(part)


def _unreadable(text: str) -> ConfigError:
    return ConfigError(
        f"--caption-lengths {text}: give a range of tokens such as 20-256, or a sample of lengths such as 40,40,77."
    )
