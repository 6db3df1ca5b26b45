"""Generated damage: values of every type, and bytes that are flipped, cut, doubled and put in."""

import json
import random
import string

TEXTS = [
    "",
    " ",
    "cat",
    "0",
    "1",
    "-1",
    "1.0",
    "nan",
    "a,b",
    '"',
    "é☕\u2028",
    "\ufeff",
    "a\0b",
    "../x",
    "x" * 300,
    "\x85\x0c",
]
NUMBERS = [0, 1, 2, 3, -1, 7, 255, 256, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30]
FLOATS = [0.0, 1.0, -0.5, 1e308, float("inf"), float("nan")]


class Chance(random.Random):
    """Random choices, equal for equal seeds."""

    def value(self, depth=2):
        """A value of any type that JSON has."""
        kind = self.randrange(9 if depth else 7)
        if kind == 7:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        if kind == 8:
            return {self.choice([*TEXTS, *WORDS]): self.value(depth - 1) for _ in range(self.randrange(4))}
        return [
            None,
            self.random() < 0.5,
            self.choice(NUMBERS),
            self.choice(FLOATS),
            self.choice(TEXTS),
            self.choice(WORDS),
            "".join(self.choices(string.printable, k=self.randrange(9))),
        ][kind]

    def changed(self, value, share=0.3):
        """A value like this one, in which some parts are replaced, lacking or doubled."""
        if self.random() < share / 4:
            return self.value()
        if isinstance(value, dict):
            kept = {k: self.changed(v, share) for k, v in value.items() if self.random() > share / 4}
            return {**kept, **({self.choice(WORDS): self.value()} if self.random() < share / 4 else {})}
        if isinstance(value, list):
            kept = [self.changed(v, share) for v in value if self.random() > share / 4]
            return kept + kept[:1] if self.random() < share / 4 else kept
        return self.value() if self.random() < share / 2 else value

    def json(self, value):
        """The JSON text of a value, now and then no JSON at all."""
        text = json.dumps(value, ensure_ascii=self.random() < 0.5)
        kind = self.randrange(30)
        if kind == 0:
            return text[: self.randrange(len(text) + 1)]
        if kind == 1:
            return "[" * 20_000 + text
        if kind == 2:
            return text.replace("1", "1" * 5_000)
        if kind == 3:
            return text.replace(":", ": :", 1)
        return text

    def bytes(self, text):
        """A text in some encoding, with or without a mark."""
        kinds = ["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"]
        return text.encode(self.choice(kinds), "replace" if self.random() < 0.5 else "ignore")

    def damaged(self, data, most=4):
        """Bytes with up to so many changes."""
        data = bytearray(data)
        for _ in range(self.randrange(most + 1)):
            place = self.randrange(len(data) + 1)
            end = min(len(data), place + self.choice([1, 2, 8, 64, 512]))
            kind = self.randrange(6)
            if kind == 0 and place < len(data):
                data[place] ^= 1 << self.randrange(8)
            elif kind == 1:
                data[place:end] = self.randbytes(end - place)
            elif kind == 2:
                del data[place:end]
            elif kind == 3:
                data[place:place] = data[place:end]
            elif kind == 4:
                data[place:place] = self.choice([b"\xff" * 8, b"\0" * 8, b"\n", b'"', b",", b"9" * 40, b"-1"])
            elif kind == 5 and self.random() < 0.3:
                del data[place:]
        return bytes(data)


WORDS = [
    *("file", "label", "prompt", "image", "caption", "captions", "text", "tag", "include", "exclude", "class", "count"),
    *(
        "position",
        "color",
        "correct",
        "metadata",
        "bytes",
        "path",
        "names",
        "_type",
        "info",
        "features",
        "dtype",
        "shape",
    ),
    *("data_offsets", "__metadata__", "_data_files", "filename", "left of"),
]
