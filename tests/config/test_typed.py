"""What is typed after `--set KEY=` is read by the type of the option, and a text option takes it as it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nanogen_core.cli.main import cli
from nanogen_core.cli.options import override_layer
from nanogen_core.config import load_config, resolve
from nanogen_core.errors import ConfigError, UnknownName
from nanogen_files import yaml_files
from nanogen_files.structure import structure

AS_TYPED = [
    "/data/a #1",
    "2024",
    "007",
    "no",
    "null and void",
    "a: b",
    "[train]",
    "{00000..00099}.tar",
    " two  spaces ",
    "'quoted'",
    '"quoted"',
    "~/data",
    "~",
    "1e3",
    "2024-01-01",
    "&anchor",
    "*alias",
    "- item",
    "!tag",
    "a=b=c",
    "%",
    "",
    "\u4f60\u597d",
]


@attrs.frozen(kw_only=True)
class Inner:
    width: int = 1
    name: str = ""


@attrs.frozen(kw_only=True)
class Options:
    text: str = "x"
    perhaps: str | None = None
    whole: int = 0
    number: float = 0.0
    number_or_none: float | None = 1.0
    truth: bool = False
    word: Literal["on", "off", "1"] = "on"
    texts: tuple[str, ...] = ()
    wholes: tuple[int, ...] = ()
    mapping: Mapping[str, str] = {}
    anything: Any = None
    inner: Inner | None = None


def read(option, text):
    layer = override_layer((f"train.{option}={text}",))["train"]
    return getattr(structure(layer, Options, "x"), option.partition(".")[0])


@pytest.mark.parametrize("text", AS_TYPED)
@pytest.mark.parametrize("option", ["text", "perhaps"])
def test_a_text_option_takes_what_was_typed(option, text):
    assert read(option, text) == text


@given(st.text())
def test_a_text_option_takes_any_text(text):
    if "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert read("text", text) == text


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("text", "null", "null"),
        ("perhaps", "null", None),
        ("whole", "7", 7),
        ("whole", "-7", -7),
        ("whole", "010", 10),
        ("whole", "10_000", 10_000),
        ("number", "7", 7.0),
        ("number", "1e-3", 1e-3),
        ("number", "-.5", -0.5),
        ("number", "3.", 3.0),
        ("number_or_none", "null", None),
        ("number_or_none", "2.5", 2.5),
        ("truth", "true", True),
        ("truth", "No", False),
        ("word", "off", "off"),
        ("word", "1", "1"),
        ("texts", "[no, 2024, a b]", ("no", "2024", "a b")),
        ("texts", "['a, b', c]", ("a, b", "c")),
        ("texts", "[]", ()),
        ("wholes", "[1, 020]", (1, 20)),
        ("mapping", "{a: 1, b: no}", {"a": "1", "b": "no"}),
        ("mapping.a", "1", {"a": "1"}),
        ("anything", "dinov2-vit-b", "dinov2-vit-b"),
        ("anything", "2.5", 2.5),
        ("anything", "true", True),
        ("anything", "null", None),
        ("anything", "/a #1", "/a #1"),
        ("anything", "a: b", "a: b"),
        ("anything", "{name: x, side: 224}", {"name": "x", "side": 224}),
        ("anything.name", "x", {"name": "x"}),
        ("inner", "{width: 3, name: 2024}", Inner(width=3, name="2024")),
        ("inner", "null", None),
        ("inner.name", "no", Inner(name="no")),
    ],
)
def test_other_options_read_it_by_their_type(option, text, value):
    found = read(option, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("whole", "1e3", "x.whole: expected an integer, got '1e3'"),
        ("whole", "3.0", "x.whole: expected an integer, got '3.0'"),
        ("whole", "1:30", "x.whole: expected an integer, got '1:30'"),
        ("whole", "", "x.whole: expected an integer, got ''"),
        ("whole", "null", "x.whole: expected an integer, got 'null'"),
        ("number", "nan", "x.number: must be a finite number, got nan"),
        ("number", "-.inf", "x.number: must be a finite number, got -inf"),
        ("number", "1e999", "x.number: must be a finite number, got inf"),
        ("number", "much", "x.number: expected a number, got 'much'"),
        ("truth", "1", "x.truth: expected true or false, got '1'"),
        ("word", "2", "x.word: expected one of on, off, 1, got '2'"),
        ("texts", "a, b", "x.texts: expected a list, such as [a, b], got 'a, b'"),
        ("texts", "[a", "x.texts: --set: '[a' cannot be read as YAML (line 1, column 3)"),
        ("wholes", "[1, x]", "x.wholes[1]: expected an integer, got 'x'"),
        ("mapping", "a", "x.mapping: expected a mapping, got 'a'"),
        ("inner", "5", "x.inner: expected a mapping, got '5'"),
        ("inner.width", "wide", "x.inner.width: expected an integer, got 'wide'"),
    ],
)
def test_what_the_type_cannot_be_is_refused_in_one_sentence(option, text, sentence):
    with pytest.raises(ConfigError) as caught:
        read(option, text)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", AS_TYPED)
def test_a_folder_of_any_name_reaches_the_configuration_and_its_file(small, text):
    found = resolve(small, override_layer((f"train.precomputed_latents={text}",)))
    assert found.sections["train"].precomputed_latents == text
    saved = yaml_files.parse(yaml_files.dump(found.as_dict()), "config.yaml")
    assert resolve(saved).as_dict() == found.as_dict()


def test_every_kind_of_path_is_read(small):
    lines = ("method=null", "image_size=32", "seed=7", "guidance.cfg.scale=3", "guidance.cfg.t_max=0.5", "metric=null")
    with pytest.raises(UnknownName, match="There is no metric 'null'"):
        resolve(small, override_layer(lines))
    found = resolve(small, override_layer(lines[:-1]))
    cfg = found.groups["guidance"]["cfg"].config
    assert (found.method, found.image_size, found.seed, cfg.scale, cfg.t_max) == (None, 32, 7, 3.0, 0.5)
    assert not resolve(small, override_layer(("guidance.cfg=null",))).groups["guidance"]
    assert resolve(small, override_layer(("per_task.imagenet.train.steps=3",))).sections["train"].steps == 3
    assert (
        resolve(small, override_layer(("train={steps: 3, precomputed_latents: 2024}",)))
        .sections["train"]
        .precomputed_latents
        == "2024"
    )


def test_a_missing_option_is_documented_and_has_its_setting(small):
    with pytest.raises(ConfigError) as caught:
        resolve(small, override_layer(("guidance=autoguidance",)))
    assert str(caught.value).startswith(
        "guidance.autoguidance.pipeline is missing. Set it, for example with --set"
        " guidance.autoguidance.pipeline=VALUE. Its value: The weaker model: the folder of a run,"
    )


@attrs.frozen(kw_only=True)
class Documented:
    """Options.

    Args:
        first: A file, such as `a.npz`
            or `b.npz`. More about it.
        second: Without a full stop
    """

    first: str
    second: str


@attrs.frozen(kw_only=True)
class Derived(Documented):
    third: str


def test_what_is_missing_is_described_by_the_docstring_of_any_base_class():
    with pytest.raises(ConfigError) as caught:
        structure({}, Derived, "part")
    assert str(caught.value).splitlines() == [
        "part.first is missing. Its value: A file, such as `a.npz` or `b.npz`.",
        "part.second is missing. Its value: Without a full stop.",
        "part.third is missing",
    ]


@pytest.mark.parametrize("setting", ["", "=", "=5", "seed", "train..steps=3", ".seed=3", "seed.=3", "a." * 30 + "b=1"])
def test_a_setting_of_another_form_is_refused(setting):
    with pytest.raises(ConfigError, match="--set must have the form KEY.PATH=VALUE"):
        override_layer((setting,))


def test_a_pattern_of_files_stays_a_pattern(tmp_path):
    raw = {"task": "t2i", "method": "vae"}
    line = f"dataset.root={tmp_path}/{{00000..00003}}.tar"
    assert resolve(raw, override_layer((line,))).slots["dataset"].config.root == line.partition("=")[2]


@pytest.mark.parametrize(
    "name", ["[train] #1", "2024", "no", "a: b", "{0..9}", " two  spaces ", "-x", "~", "=", "\u4f60"]
)
def test_a_configuration_may_lie_in_a_folder_of_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path(name) / "config.yaml"
    path.parent.mkdir()
    path.write_text(f"task: imagenet\ntrain: {{precomputed_latents: '{name}'}}")
    found = CliRunner().invoke(cli, ["config", "show", "--set", f"dataset.root={name}", "--", str(path)])
    assert "`tokenizer:` is missing" in str(found.exception)
    assert load_config(str(path))["train"] == {"precomputed_latents": name}
