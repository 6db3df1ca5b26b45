"""Holds our networks against outputs that were recorded in the published layout."""

from tests.parity.case import Case, cases_in
from tests.parity.checks import LIMIT, Report, check_case

__all__ = ["LIMIT", "Case", "Report", "cases_in", "check_case"]
