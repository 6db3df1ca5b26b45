"""Whatever goes into the markup comes out of a parser as it was."""

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogen_bench.report.markup import Markup, digest, element, join

#: What an HTML parser gives back as it stands: no NUL or carriage return, which HTML changes by its own rules.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))


class Parsed(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@given(TEXTS, TEXTS)
def test_any_text_stays_text(content, value):
    parsed = Parsed(element("p", content, title=value))
    assert parsed.tags == ["p"]
    assert parsed.attributes == [("title", value)]
    assert parsed.text == content


@pytest.mark.parametrize(
    "nasty", ["</p><script>alert(1)</script>", '" onfocus="alert(1)', "' x='", "<!--", "]]>", "&lt;b&gt;"]
)
def test_nothing_is_let_out(nasty):
    parsed = Parsed(element("svg", element("title", nasty), nasty, aria_label=nasty))
    assert parsed.tags == ["svg", "title"]
    assert parsed.attributes == [("aria-label", nasty)]
    assert parsed.text == nasty * 2


def test_what_was_made_here_is_kept_and_its_parts_are_text():
    inner = element("b", "1 < 2")
    assert element("p", inner, [" & ", ["so", None]]) == "<p><b>1 &lt; 2</b> &amp; so</p>"
    assert str(inner) + "<i>" == "<b>1 &lt; 2</b><i>"
    assert element("p", inner + "<i>") == "<p>&lt;b&gt;1 &amp;lt; 2&lt;/b&gt;&lt;i&gt;</p>"  # no longer markup: a str


def test_attributes():
    made = element("input", class_="a b", aria_sort="none", tabindex=0, checked=True, hidden=False, value=None)
    assert made == '<input class="a b" aria-sort="none" tabindex="0" checked>'


def test_a_lone_surrogate_of_a_file_name_can_be_written():
    assert element("p", b"caf\xe9.png".decode("utf-8", "surrogateescape")).encode() == b"<p>caf?.png</p>"


def test_join_escapes_between_markups():
    assert join([Markup("<b>"), "<b>", 3]) == "<b>&lt;b&gt;3"


def test_a_digest_is_that_of_the_specification():
    """The example of Content Security Policy Level 2, section 7.17.2."""
    assert digest("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
