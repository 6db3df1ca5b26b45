"""Parts that cannot work are named in one sentence: broken plugins, classes for objects, misspelt keywords."""

import json
import re
import sys
from types import ModuleType

import pytest
from attrs import evolve

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.assembly import Assembly, known_words
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.guidance import ClassifierFree
from nanogen_core.protocol_check import members
from nanogen_core.protocols import Conditioner
from nanogen_core.registry import Offer, import_object, registry
from nanogen_core.specs import Component


class Scaleless:
    """A guidance without `with_scale`."""

    level = 1

    def wrap(self, velocity_fn, null):
        return velocity_fn


class Level:
    """A guidance without `wrap`."""

    level = 1


class Sampler:
    def __init__(self, *, backbon=None):
        self.backbon = backbon

    def sample(self, objective, velocity_fn, noise, condition, steps):
        return noise


class Wanting:
    def __init__(self, *, latnt):
        self.latnt = latnt


class OfOther:
    """Asks for components of a kind that no installed plugin has."""

    def __init__(self, *, judges="none"):
        self.judges = judges
        self.steps = 1

    def sample(self, objective, velocity_fn, noise, condition, steps, rng):
        return noise


class Optional:
    """Asks for an encoder, which this configuration does not have."""

    def __init__(self, *, encoder=None):
        self.encoder = encoder
        self.steps = 1

    def sample(self, objective, velocity_fn, noise, condition, steps, rng):
        return noise


@pytest.fixture
def offering(monkeypatch):
    """A registry with one more component, made of a class of this module."""

    def known(kind, target):
        module = ModuleType("offered_parts")
        module.Part = target
        monkeypatch.setitem(sys.modules, "offered_parts", module)
        offer = Offer(Component(kind=kind, name="mine", target="offered_parts:Part"), "nanogen-mine")
        whole = registry()
        return evolve(whole, components={**whole.components, kind: {**whole.components[kind], "mine": (offer,)}})

    return known


def assembly(small, known, **over):
    return Assembly(resolve({**small, **over}, known=known))


def sentence(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_misspelt_optional_keyword_is_an_error(small, offering):
    with pytest.raises(NanoGenError) as caught:
        assembly(small, offering("sampler", Sampler), sampler="mine")["sampler"]
    assert sentence(caught).startswith(
        "sampler 'mine' of nanogen-mine has the parameter 'backbon', but no part has this name. Did you mean 'backbone'"
    )


def test_an_optional_part_of_a_plugin_that_is_not_installed_is_left_out(small, offering):
    known = offering("sampler", OfOther)
    assert assembly(small, known, sampler="mine")["sampler"].judges == "none"


def test_a_misspelt_required_keyword_has_its_near_miss(small, offering):
    with pytest.raises(NanoGenError, match="needs the part 'latnt', which .*Did you mean 'latent'"):
        assembly(small, offering("sampler", Wanting), sampler="mine")["sampler"]


def test_an_optional_part_that_is_not_there_is_left_out(small, offering):
    assert assembly(small, offering("sampler", Optional), sampler="mine")["sampler"].encoder is None


def test_components_that_replace_each_other_are_no_endless_loop(small):
    def sampler(name, other):
        component = Component(kind="sampler", name=name, target="x:Y", defaults={"sampler": other})
        return {name: (Offer(component, "nanogen-mine"),)}

    whole = registry()
    euler = sampler("euler", "other") | sampler("other", "euler")
    known = evolve(whole, components={**whole.components, "sampler": euler})
    del small["sampler"]
    with pytest.raises(NanoGenError, match="endlessly: sampler=euler, sampler=other. Set one of these yourself"):
        resolve(small, known=known)


def test_every_name_that_a_part_may_ask_for_is_known(small):
    parts = Assembly(resolve(small))
    assert set(parts) <= set(known_words())
    documented = {
        "image_size",
        "seed",
        "dataset",
        "classes",
        "task",
        "encoder",
        "conditioner",
        "condition",
        "tokenizer",
    }
    documented |= {"latent", "backbone", "objective", "sampler", "auxiliaries", "guidance", "metrics", "wanted"}
    assert documented <= set(known_words())


def test_a_part_that_lacks_what_its_kind_needs_is_named(small, offering):
    with pytest.raises(NanoGenError) as caught:
        assembly(small, offering("guidance", Level), guidance="mine")["guidance"]["mine"]
    assert sentence(caught).startswith(
        "guidance 'mine' of nanogen-mine does not implement nanogen_core.protocols:Guidance: it lacks wrap."
    )


def test_a_guidance_without_a_scale_works_until_one_is_set(small, offering):
    resolved = resolve({**small, "guidance": {"cfg": None, "mine": {}}}, known=offering("guidance", Scaleless))
    pipeline = Pipeline(resolved, Assembly(resolved))
    assert len(pipeline.generate(["apple"])) == 1
    for scale in (2.0, {"mine": 2.0}):
        with pytest.raises(NanoGenError) as caught:
            pipeline.generate(["apple"], guidance=scale)
        assert sentence(caught) == "guidance 'mine' has no adjustable scale (no `with_scale`): leave out the scale."


def test_a_wrong_scale_names_its_guidance(small):
    pipeline = build_pipeline(small)
    for scale in (float("nan"), -1.0, "much", None, 10**12):
        with pytest.raises(ConfigError, match="guidance 'cfg': "):
            pipeline.generate(["apple"], guidance={"cfg": scale})


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"backbone": Sampler}, "backbone: Sampler is a class; give an instance of it"),
        ({"sampler": [Sampler()]}, "sampler: expected a name or a mapping with a `name`, got [<"),
        ({"guidance": ClassifierFree}, "guidance: expected names, or a mapping of names to options, got <class"),
        ({"guidance": {"mine": ClassifierFree}}, "guidance.mine: expected a mapping of options, got <class"),
        ({"guidance": [ClassifierFree]}, "guidance[0]: ClassifierFree is a class; give an instance of it"),
        ({"metric": ["openmoji-accuracy", "openmoji-accuracy"]}, "metric[1]: 'openmoji-accuracy' is listed twice"),
        ({"metric": [{"x": 1}]}, "metric[0]: `name` is missing"),
        ({"backbone": None}, "backbone: expected a name or a mapping with a `name`, got None"),
        ({"backbone": {"name": 3}}, "backbone: expected a name or a mapping with a `name`, got {'name': 3}"),
        ({"sampler": {"name": "euler", "steps": Sampler}}, "sampler.steps: expected an integer, got <class"),
    ],
)
def test_an_object_in_a_wrong_place_is_refused_in_a_sentence(small, over, expected):
    with pytest.raises(ConfigError) as caught:
        build_pipeline(small, **over)
    assert sentence(caught).startswith(expected)
    if "guidance" in over:
        assert re.search("is a class; give an instance|must be instances, not classes", str(caught.value))


def test_an_object_that_is_no_such_part_is_refused(small):
    with pytest.raises(NanoGenError) as caught:
        build_pipeline(small, objective=object())
    assert sentence(caught).startswith(
        "objective: the object of class object does not implement nanogen_core.protocols:Objective: it lacks loss,"
    )
    with pytest.raises(
        NanoGenError,
        match=r"of class function must be a torch\.nn\.Module: it lacks parameters, state_dict",
    ):
        build_pipeline(small, backbone=lambda state, times, condition: state)


def test_options_are_not_laid_over_an_object(small):
    backbone = build_pipeline(small).backbone
    for layers in ((small, {"backbone": backbone}, {"backbone": {"depth": 2}}),):
        with pytest.raises(ConfigError, match="backbone: an object takes no options; set them when"):
            resolve(*layers)
    assert resolve(small, {"backbone": backbone}).slots["backbone"].instance is backbone
    assert resolve({**small, "backbone": backbone}, {"backbone": "ddt"}).slots["backbone"].name == "ddt"


def test_a_check_that_returns_no_list_is_named(small, monkeypatch):
    known = registry()
    answers = type(known.discovery).answers

    def answering(self, hook, **arguments):
        found = answers(self, hook, **arguments)
        return [(plugin, "a sentence") for plugin, _ in found[:1]] if hook == "nanogen_check" else found

    monkeypatch.setattr(type(known.discovery), "answers", answering)
    with pytest.raises(NanoGenError, match="nanogen_check of nanogen-align must return a list, got 'a sentence'"):
        resolve(small)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "../" * 2000])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(ConfigError) as caught:
        build_pipeline(name)
    assert len(str(caught.value)) < 300


def test_every_protocol_has_members():
    declared = [kind.protocol for kind in registry().kinds.values() if kind.protocol]
    assert len(declared) > 10
    for protocol in declared:
        assert members(import_object(protocol)), protocol
    assert members(Conditioner) == ["encode", "null", "spec"]


@pytest.mark.parametrize(
    "config",
    [5, [], [1, 2], "", object(), {"task": {"name": ["x"]}}, {"per_task": 5}, {"per_task": {"imagenet": 5}}],
    ids=lambda value: "object" if type(value) is object else repr(value),
)
def test_what_is_no_configuration_is_refused(small, config):
    with pytest.raises(NanoGenError):
        build_pipeline({**small, **config} if isinstance(config, dict) else config)


FACTS = [
    ("[]", "does not have format version 1"),
    ("null", "does not have format version 1"),
    ("{}", "does not have format version 1"),
    ('{"format": "1"}', "does not have format version 1"),
    ('{"format": 1}', "`classes` must be a list of names, got None"),
    ('{"format": 1, "classes": null}', "`classes` must be a list of names, got None"),
    ('{"format": 1, "classes": 64}', "`classes` must be a list of names, got 64"),
    ('{"format": 1, "classes": "apple"}', "`classes` must be a list of names, got 'apple'"),
    ('{"format": 1, "classes": [0, 1, 2]}', "`classes` must be a list of names, got [0, 1, 2]"),
    ('{"format": 1, "classes": {"apple": 0}}', "`classes` must be a list of names, got {'apple': 0}"),
    ('{"format": 1, "classes": ' + "[" * 100_000, "is not valid JSON"),
    ('{"format": 1, "classes": [' + "9" * 5000 + "]}", "is not valid JSON"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    small = {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "objective": "flow",
    }
    return build_pipeline(small).save(tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize(("text", "expected"), FACTS, ids=[text[:40] for text, _ in FACTS])
def test_a_damaged_description_of_a_pipeline_is_refused(saved, text, expected):
    facts = saved / "pipeline.json"
    before = facts.read_text()
    facts.write_text(text)
    try:
        with pytest.raises(DataError) as caught:
            Pipeline.load(saved)
    finally:
        facts.write_text(before)
    assert expected in sentence(caught)
    assert str(facts) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "changed", "expected"),
    [
        ("image_size: 16", "image_size: null", "image_size: expected an integer, got None"),
        ("image_size: 16", "image_size: 1000000", "image_size: must be at least 1 and at most 8,192, got 1000000"),
        ("image_size: 16", "image_size: -16", "image_size: must be at least 1"),
        ("image_size: 16", "image_size: 1.5", "image_size: expected an integer, got 1.5"),
        ("image_size: 16", "image_size: " + "9" * 5000, "contains a value that cannot be read"),
        ("  hidden: 16", "  hidden: 1000000000000", "backbone.hidden: must be above 0 and at most 65,536"),
        ("  depth: 1", "  depth: -1", "backbone.depth: must be above 0"),
        ("  heads: 1", "  heads: 0", "backbone.heads: must be above 0"),
        ("  heads: 1", "  heads: .nan", "backbone.heads: expected an integer, got nan"),
        ("seed: 0", "seed: [0]", "seed: expected an integer, got [0]"),
        ("task:", "tusk:", "tusk: unknown key"),
    ],
)
def test_a_saved_configuration_of_nonsense_is_refused(saved, line, changed, expected):
    config = saved / "config.yaml"
    before = config.read_text()
    assert before.count(line) >= 1
    config.write_text(before.replace(line, changed, 1))
    try:
        with pytest.raises(NanoGenError) as caught:
            Pipeline.load(saved)
    finally:
        config.write_text(before)
    assert expected in str(caught.value)
    assert str(config) in str(caught.value)


def test_the_saved_pipeline_itself_is_sound(saved):
    assert len(Pipeline.load(saved).generate(["apple"])) == 1
    assert json.loads((saved / "pipeline.json").read_text())["classes"][0] == "apple"
