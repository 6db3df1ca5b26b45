"""Names of a new plugin, and the reasons why a name cannot be used. Does not import torch."""

from __future__ import annotations

import builtins
import keyword
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from attrs import frozen

from nanogen_core.errors import NanoGenError, shown
from nanogen_core.registry import known_distributions, registry

PREFIX = "nanogen-"
WORDS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 32  # characters of a component name; imports of it then fit in a line
YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # YAML reads them as other values


@frozen
class Names:
    """The names of one plugin, all derived from the component's name, such as `my-loss`."""

    component: str

    @property
    def distribution(self) -> str:
        """Name of the distribution and of its folder: `nanogen-my-loss`."""
        return PREFIX + self.component

    @property
    def package(self) -> str:
        """Name of the package: `nanogen_my_loss`."""
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        """Name of the class: `MyLoss`."""
        return "".join(word.capitalize() for word in self.component.split("-"))


def names_of(name: str, kind: str) -> Names:
    """Return the names of a new plugin. `name` may begin with `nanogen-`.

    Raises:
        NanoGenError: The name is malformed, reserved or taken.
    """
    names = Names(name.removeprefix(PREFIX))
    component = names.component
    if not WORDS.fullmatch(component) or len(component) > LONGEST:
        raise NanoGenError(
            f"{shown(name)} cannot be the name of a plugin. Use lower-case words of letters and digits, joined by"
            f" hyphens, with at most {LONGEST} characters, such as my-{kind}. The first character must be a letter."
        )
    if component in YAML_WORDS or keyword.iskeyword(component) or hasattr(builtins, names.cls):
        raise NanoGenError(
            f"{component!r} is a reserved word of Python or YAML, or {names.cls} is a built-in name of Python: choose"
            f" another name, such as my-{kind}."
        )
    _refuse_taken(names, kind)
    return names


def _refuse_taken(names: Names, kind: str) -> None:
    known = registry()
    kinds = [kind, "objective"] if kind == "method" else [kind]
    for other in kinds:
        offers = known.methods if other == "method" else known.components.get(other, {})
        if found := offers.get(names.component):
            raise NanoGenError(
                f"{found[0].distribution} already has the {other} {names.component!r}: choose another name."
            )
    if names.component in {*known.kinds, *known.sections, *known.commands}:
        raise NanoGenError(
            f"{names.component!r} is the name of a kind, section or command of NanoGen: choose another name, such as"
            f" my-{names.component}."
        )
    owner = names.distribution if _is_installed(names) else known_distributions().get(names.component)
    if owner:
        raise NanoGenError(f"The name {names.component!r} is taken by {owner}: choose another name.")


def _is_installed(names: Names) -> bool:
    try:
        version(names.distribution)
    except PackageNotFoundError:
        return find_spec(names.package) is not None
    return True
