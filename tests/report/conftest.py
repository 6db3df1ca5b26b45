"""The browser of the tests of the report page."""

from tests.browser import browser  # noqa: F401
