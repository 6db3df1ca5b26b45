"""Evaluates arithmetic formulas on arrays, such as `clip(a + 12*((i+j)%3) - 10, 0, 255)`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "clip": np.clip,
    "abs": np.abs,
    "floor": np.floor,
    "round": np.round,
    "min": np.minimum,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
}


def leading_formula(text: str, named: Mapping[str, Any]) -> Any:
    """Evaluate the longest prefix of a text that is a formula. The prefix ends at a comma, semicolon or bracket.

    The rest is a comment, as in `(i+j)%256 (i row, j col)` and `a + 1, same in every channel`.

    Args:
        text: The text.
        named: Arrays by name. They are converted to int64 or float64, so uint8 values do not wrap around.

    Returns:
        The value, or None if no prefix is a formula.
    """
    ends = [len(text), *sorted((end for end, character in enumerate(text) if character in ",(;"), reverse=True)]
    for end in ends:
        try:
            return _value(ast.parse(text[:end].strip(), mode="eval").body, named)
        except (SyntaxError, KeyError, TypeError):
            continue
    return None


def _value(node: ast.AST, named: Mapping[str, Any]) -> Any:
    """Evaluate a node. Raises KeyError for an unknown name, operator or expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.Name):
        return _wide(named[node.id])
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, named), _value(node.right, named))
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_value(node.operand, named))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _FUNCTIONS[node.func.id](*(_value(argument, named) for argument in node.args))
    raise KeyError(type(node).__name__)


def _wide(values: Any) -> Any:
    values = np.asarray(values)
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
