"""Resolving configurations: layers, strictness, every mistake at once, and the way back to YAML."""

import pytest
import yaml

from nanogen_core.config import combine, load_config, resolve
from nanogen_core.config_layers import merge
from nanogen_core.errors import ConfigError, Incompatible, UnknownName
from nanogen_files import yaml_files


def test_a_resolved_configuration_resolves_to_itself(small):
    iter_once = resolve(small).as_dict()
    assert resolve(iter_once).as_dict() == iter_once
    assert resolve(yaml.safe_load(yaml_files.dump(iter_once))).as_dict() == iter_once


def test_a_user_goes_over_a_method_over_a_task(small):
    del small["sampler"]
    small["guidance"] = {"cfg": {"scale": 5.5}}
    resolved = resolve(small)
    cfg = resolved.groups["guidance"]["cfg"].config
    assert (cfg.scale, cfg.t_max) == (5.5, 1.0)  # the dataset's interval, the user's scale
    assert resolved.slots["sampler"].name == "euler"  # the core's


def test_options_of_another_component_are_not_inherited():
    low = {"tokenizer": {"name": "a", "path": "x"}}
    assert merge([low, {"tokenizer": {"name": "b"}}]) == {"tokenizer": {"name": "b"}}
    assert merge([low, {"tokenizer": {"side": 1}}]) == {"tokenizer": {"name": "a", "path": "x", "side": 1}}
    assert merge([low, {"tokenizer": {"name": "d:a"}}]) == {"tokenizer": {"name": "d:a", "path": "x"}}


def test_a_member_of_a_group_can_be_taken_away(small):
    small["guidance"] = {"cfg": None}
    resolved = resolve(small)
    assert not resolved.groups["guidance"]
    assert not resolve(resolved.as_dict()).groups["guidance"]


def test_per_task_holds_for_that_task_alone(small):
    nine, four = ({"guidance": {"cfg": {"scale": scale}}} for scale in (9.0, 4.0))
    small["per_task"] = {"imagenet": nine, "other": four}
    assert resolve(small).groups["guidance"]["cfg"].config.scale == 9.0


def test_keywords_go_over_a_mapping(small):
    assert combine(small, {"dataset": {"train": 5}})["dataset"] == {"name": "openmoji", "train": 5, "val": 16}
    assert combine({"dataset": "openmoji"}, {"dataset": {"train": 5}})["dataset"] == {"name": "openmoji", "train": 5}


@pytest.mark.filterwarnings("ignore::nanogen_core.errors.ConfigWarning")
def test_keywords_go_over_what_holds_for_one_task(small):
    """`--set train.steps=30` is meant, whatever a recipe says of the task."""
    small["per_task"] = {
        "imagenet": {
            "train": {"steps": 7, "batch_size": 2},
            "schedule": {"name": "cosine", "end_step": 7},
            "guidance": {"cfg": {"scale": 9.0}},
        },
    }
    over = {"train": {"steps": 3}, "schedule": "constant", "guidance": {"cfg": {"scale": 2.0}}}
    found = resolve(combine(small, over))
    assert (found.sections["train"].steps, found.sections["train"].batch_size) == (3, 2)
    assert found.slots["schedule"].name == "constant"
    assert found.groups["guidance"]["cfg"].config.scale == 2.0
    kept = resolve(combine(small, {"seed": 3}))
    assert (kept.sections["train"].steps, kept.slots["schedule"].name) == (7, "cosine")


def test_all_mistakes_are_said_at_once_with_their_paths(small):
    small["backbone"]["hiden"] = 3
    small["train"].update(steps="many", batch_size=0, precision="fp8")
    small["optimizer"]["lr"] = "0.1"
    with pytest.raises(ConfigError) as caught:
        resolve(small)
    text = str(caught.value)
    assert text.startswith("The configuration has 5 mistakes:")
    for line in (
        "backbone.hiden: unknown key. Did you mean 'hidden'?",
        "train.steps: expected an integer, got 'many'",
        "train.batch_size: ",
        "train.precision: ",
        "optimizer.lr: expected a number, got '0.1'",
    ):
        assert f"\n  - {line}" in text


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("train", {"cache_latents": "false"}, "train.cache_latents: expected true or false, got 'false'"),
        ("train", {"steps": 3.9}, "train.steps: expected an integer, got 3.9"),
        ("train", {"steps": True}, "train.steps: expected an integer, got True"),
        ("image_size", "64", "image_size: expected an integer, got '64'"),
        ("tokenizer", 3, "tokenizer: expected a name or a mapping with a `name`, got 3"),
        ("backbon", "ddt", "backbon: unknown key. Did you mean 'backbone'?"),
        ("steps", 5, "steps: unknown key. Did you mean 'train.steps'?"),
        ("guidance", 3, "guidance: expected names, or a mapping of names to options, got 3"),
    ],
)
def test_types_are_strict(small, key, value, sentence):
    with pytest.raises(ConfigError, match=sentence.replace("?", "\\?").replace("(", "\\(")):
        resolve({**small, key: value})


def test_an_object_stands_for_itself(small):
    class Network:
        provides = ("features",)

    resolved = resolve({**small, "backbone": Network()})
    assert resolved.slots["backbone"].instance is not None
    assert "features" in resolved.slots["backbone"].chosen.component.provides


def test_a_capability_that_is_missing_is_said_before_anything_is_imported(small, tmp_path):
    class Blind:  # heun needs an objective with an instantaneous velocity
        provides = ()

    with pytest.raises(Incompatible) as caught:
        resolve({**small, "sampler": "heun", "objective": Blind()})
    assert "sampler 'heun' needs an objective that provides 'instantaneous-velocity'" in str(caught.value)
    assert "objective='flow'" in str(caught.value)


def test_a_method_that_the_backbone_cannot_serve_is_refused_with_what_could(small):
    class OneTime:
        provides = ("features",)

    with pytest.raises(Incompatible) as caught:
        resolve({**small, "objective": "meanflow", "backbone": OneTime()})
    sentence = str(caught.value)
    assert sentence.startswith("objective 'meanflow' needs a backbone that provides 'jvp' and 'two-time'; backbone ")
    assert "Set backbone='ddt' or backbone='dit' or backbone='" in sentence
    assert "backbone='lightning-dit'" in sentence
    assert sentence.endswith(", or choose another objective.")


def test_a_missing_part_is_named(small):
    del small["objective"]
    with pytest.raises(
        ConfigError, match="`objective:` is missing. Set it, or a `method:` whose defaults include it. Methods: "
    ):
        resolve(small)
    with pytest.raises(ConfigError, match="`task:` is missing. Set it to one of: imagenet"):
        resolve({})


def test_without_a_task_only_the_task_is_missing(small):
    """The defaults of a task fill other required slots, so those are not mistakes of the reader."""
    for left_out in ("task", "conditioner", "sampler", "latent", "objective"):
        small.pop(left_out, None)
        with pytest.raises(ConfigError) as caught:
            resolve(small)
        assert str(caught.value).startswith("`task:` is missing. Set it to one of: imagenet")
        assert "\n" not in str(caught.value)


def test_an_unknown_method_is_said_even_with_other_mistakes(small):
    with pytest.raises(ConfigError, match=r"image_size[\s\S]*no method 'vea'"):
        resolve({**small, "method": "vea", "image_size": "x"})
    with pytest.raises(UnknownName, match="There is no method 'vea'. Did you mean 'vae'"):
        resolve({**small, "method": "vea"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("task: [", "cannot be read as YAML (line 1"),
        ("task: a\ntask: b", "key 'task' occurs twice"),
        ("- a\n- b", "contains a value of type list. Write a mapping such as `task: t2i`"),
        ("", "is empty. Write a mapping"),
        ("task: !!python/object:os.system {}", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, sentence):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)


def test_a_merge_key_brings_what_is_not_written_beside_it(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {x: 1, y: 1e-3}\nb: &b {z: 0}\nc: {<<: [*a, *b], y: 2}")
    assert load_config(path) == {"a": {"x": 1, "y": 0.001}, "b": {"z": 0}, "c": {"x": 1, "y": 2, "z": 0}}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read the configuration .*nowhere.yaml: No such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_recipe_is_loaded_by_its_name_and_a_near_miss_is_named():
    assert load_config("demo")["dataset"] == "openmoji"
    with pytest.raises(ConfigError, match="no file and no recipe 'deme'. Did you mean 'demo'"):
        load_config("deme")


def test_numbers_in_scientific_notation_are_numbers():
    assert yaml_files.parse("lr: 1e-3", "test") == {"lr": 0.001}
