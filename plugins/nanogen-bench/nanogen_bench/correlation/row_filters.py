"""Conditions that select rows of a table, such as `family!=pixel` or `fid_cfg<4`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence

import numpy as np

from nanogen_bench.correlation.table import Row, Table, number_in
from nanogen_core.errors import ConfigError, DataError, listing, near_miss

_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MAX_SHOWN = 20  # values in a message
OPERATORS = ("=", "!=", *_ORDER)
_CONDITION = re.compile(r"(?P<column>[^=!<>~]+)(?P<operator>[=!<>~]+)(?P<value>[^=!<>~]*)")


def choose(table: Table, row_filters: Sequence[str]) -> Table:
    """Select the rows that meet all conditions. `=` and `!=` ignore case, and compare numbers by value.

    Raises:
        ConfigError: A condition has the wrong form.
        DataError: A column is unknown, or it is not numeric and is compared by an operator such as `<`. Or no row has
            the value after `=` or `!=`, which may be misspelt. Or no row is left.
    """
    chosen = table
    for row_filter in row_filters:
        wanted = _test(table, row_filter)
        chosen = chosen.kept(row for row in chosen.rows if wanted(row))
        if not chosen.rows:
            raise DataError(f"--where {row_filter} leaves no row of {table.source}: relax the conditions.")
    return chosen


def _test(table: Table, row_filter: str) -> Callable[[Row], bool]:
    found = _CONDITION.fullmatch(row_filter.strip())
    if not found or found["operator"] not in OPERATORS:
        raise ConfigError(
            f"--where takes COLUMN OPERATOR VALUE with one of the operators {' '.join(OPERATORS)}, not {row_filter!r}."
        )
    column, value = table.column(found["column"].strip()), found["value"].strip()
    if found["operator"] in _ORDER:
        return _ordered(table, column, found["operator"], value)
    same = _equal(table, column, value)
    return same if found["operator"] == "=" else lambda row: not same(row)


def _equal(table: Table, column: str, value: str) -> Callable[[Row], bool]:
    number = number_in(value)

    def same(row: Row) -> bool:
        cell = row[column]
        return cell.casefold() == value.casefold() or (number is not None and number_in(cell) == number)

    if not any(same(row) for row in table.rows):
        values = {row[column] for row in table.rows}
        shown = f" Values: {listing(values)}." if len(values) <= MAX_SHOWN else " Correct the value."
        raise DataError(f"No row of {table.source} has {column}={value}.{near_miss(value, values)}{shown}")
    return same


def _ordered(table: Table, column: str, symbol: str, value: str) -> Callable[[Row], bool]:
    bound = number_in(value)
    if bound is None or np.isnan(bound):
        raise ConfigError(f"--where {column}{symbol} takes a finite number without underscores, not {value!r}.")
    numbers = dict(zip(table.models, table.numbers(column), strict=True))
    return lambda row: _ORDER[symbol](numbers[row[table.name_column]], bound)
