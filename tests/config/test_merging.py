"""One merge for files, `per_task`, keywords and `--set`, against a specification that is written path by path.

The specification knows components by the tables below alone. It never calls the code that it judges.
"""

import os
import warnings
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanogen_core.cli.options import override_layer
from nanogen_core.config import combine, resolve
from nanogen_core.errors import ConfigError, ConfigWarning

EXAMPLES = 150 * int(os.environ.get("NANOGEN_TORTURE", "1"))

pytestmark = pytest.mark.filterwarnings("ignore::nanogen_core.errors.ConfigWarning")

#: slot -> component -> option -> (type, values)
SLOTS = {
    "backbone": {
        "lightning-dit": {"size": ("text", ["tiny", "small"]), "mlp_ratio": ("number", [2.0, 3.0])},
        "ddt": {
            "size": ("text", ["tiny", "small"]),
            "mlp_ratio": ("number", [2.0, 3.0]),
            "decoder_depth": ("whole or none", [1, 2, 3]),
        },
    },
    "sampler": {"euler": {"steps": ("whole", [3, 5])}, "heun": {"steps": ("whole", [3, 5])}},
    "optimizer": {
        "adamw": {"lr": ("number", [0.1, 0.2]), "beta1": ("number", [0.5, 0.25])},
        "muon": {
            "lr": ("number", [0.1, 0.2]),
            "beta1": ("number", [0.5, 0.25]),
            "nesterov": ("truth", [True, False]),
            "hidden": ("text", ["a b", "x # y", "2024", "no"]),
        },
    },
    "schedule": {
        "constant": {"warmup_steps": ("whole", [1, 2])},
        "cosine": {"warmup_steps": ("whole", [1, 2]), "end_step": ("whole", [100_000, 200_000])},
        "constant-linear": {
            "warmup_steps": ("whole", [1, 2]),
            "end_step": ("whole", [100_000, 200_000]),
            "constant_steps": ("whole", [10, 20]),
        },
    },
}
UNNAMED = {"backbone": "lightning-dit", "sampler": "euler", "optimizer": "adamw", "schedule": "constant-linear"}
BASE = {"task": "imagenet", "dataset": "openmoji", "tokenizer": "openmoji-vae", "objective": "flow"}


@st.composite
def slot(draw, kind):
    """What one layer says of a slot: a name, options, or both. Options of one component, whether it is named or not."""
    name = draw(st.sampled_from(sorted(SLOTS[kind])))
    table = SLOTS[kind][name]
    chosen = draw(st.lists(st.sampled_from(sorted(table)), unique=True))
    options = {option: draw(st.sampled_from(table[option][1])) for option in chosen}
    return ({"name": name} if draw(st.booleans()) else {}) | options


@st.composite
def layer(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(SLOTS)), unique=True))
    return {kind: draw(slot(kind)) for kind in kinds}


def plain(value):
    """A layer as a person writes it: a name alone is a text."""
    return {key: slot["name"] if list(slot) == ["name"] else slot for key, slot in value.items()}


@st.composite
def lines(draw, value):
    """A layer as `--set` lines, in any order; a name as `slot=name` or `slot.name=name`."""
    found = []
    for kind, options in value.items():
        for option, setting in options.items():
            path = kind if option == "name" and draw(st.booleans()) else f"{kind}.{option}"
            text = str(setting).lower() if isinstance(setting, bool) else str(setting)
            found.append(f"{path}={text}")
    return tuple(draw(st.permutations(found)))


def specified(layers, kind):
    """The slot by the rule: the last name decides; of each option the last writing that is meant for it counts."""
    names = [each[kind]["name"] for each in layers if "name" in each.get(kind, {})]
    final = names[-1] if names else UNNAMED[kind]
    result, owner = {}, None
    for each in layers:
        said = dict(each.get(kind, {}))
        owner = said.pop("name", owner)
        for option, value in said.items():
            theirs = SLOTS[kind].get(owner or final, {}).get(option, (None,))[0]
            ours = SLOTS[kind][final].get(option, (None,))[0]
            if owner in (None, final) or (ours is not None and theirs == ours):
                result[option] = value
    wrong = sorted(set(result) - set(SLOTS[kind][final]))
    return final, result, wrong


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_layers_of_every_source_merge_by_one_rule(data):
    file, part, keywords, typed = (data.draw(layer()) for _ in range(4))
    above = data.draw(lines(typed))
    raw = {**plain(file), "per_task": {"imagenet": plain(part), "t2i": {"seed": 9}}}
    layers = ({**BASE, "backbone": "lightning-dit"}, raw, plain(keywords), override_layer(above))
    written = [{"backbone": {"name": "lightning-dit"}}, file, part, keywords, typed]
    expected = {kind: specified(written, kind) for kind in SLOTS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        wrong = [f"{kind}.{option}: unknown key" for kind, (_, _, bad) in expected.items() for option in bad]
        if wrong:
            with pytest.raises(ConfigError) as caught:
                resolve(*layers)
            assert all(line in str(caught.value) for line in wrong)
            return
        found = resolve(*layers)
        again = resolve(combine(*layers))
    for kind, (name, options, _) in expected.items():
        part = found.slots[kind]
        assert part.name == name
        assert {option: getattr(part.config, option) for option in options} == options
        fresh = type(part.config)()
        unwritten = {each for each in SLOTS[kind][name] if each not in options}
        assert all(getattr(part.config, each) == getattr(fresh, each) for each in unwritten)
    assert again == found


@pytest.mark.parametrize(
    ("settings", "kind", "name", "option", "value"),
    [
        (("sampler=heun", "sampler.steps=7"), "sampler", "heun", "steps", 7),
        (("sampler.name=heun", "sampler.steps=7"), "sampler", "heun", "steps", 7),
        (("sampler={name: heun, steps: 3}", "sampler.steps=7"), "sampler", "heun", "steps", 7),
        (("backbone=ddt", "backbone.size=tiny"), "backbone", "ddt", "size", "tiny"),
        (("backbone=nanogen-dit:ddt", "backbone.size=tiny"), "backbone", "ddt", "size", "tiny"),
        (("schedule=cosine", "schedule.end_step=9", "schedule.warmup_steps=2"), "schedule", "cosine", "end_step", 9),
    ],
)
def test_a_name_and_its_options_may_be_set_in_any_order(small, settings, kind, name, option, value):
    orders = [each for each in permutations(settings) if "{" not in settings[0] or each[-1].endswith("steps=7")]
    for order in orders:
        part = resolve(small, override_layer(order)).slots[kind]
        assert (part.name, getattr(part.config, option)) == (name, value), order


def test_members_of_a_group_and_their_options_may_be_set_in_any_order(small):
    lines = ("guidance=cfg", "guidance.cfg.scale=3", "metric=openmoji-accuracy", "metric=[openmoji-frechet]")
    for order in permutations(lines):
        groups = resolve(small, override_layer(order)).groups
        assert groups["guidance"]["cfg"].config.scale == 3.0
        assert set(groups["metric"]) == {"openmoji-accuracy", "openmoji-frechet"}


def test_a_part_that_an_option_names_keeps_its_name_under_options(small):
    lines = ("auxiliary.repa.teacher=dinov2-vit-b", "auxiliary.repa.teacher.levels=2")
    for order in permutations(lines):
        config = resolve(small, override_layer(order)).groups["auxiliary"]["repa"].config
        assert config.teacher == {"name": "dinov2-vit-b", "levels": 2}
    small["auxiliary"] = {"repa": {"teacher": "dinov2-vit-b", "block": 1}}
    config = resolve(small, override_layer(lines[1:])).groups["auxiliary"]["repa"].config
    assert (config.teacher, config.block) == ({"name": "dinov2-vit-b", "levels": 2}, 1)


def test_a_plan_s_quick_part_keeps_the_names_below_its_options(tmp_path):
    from nanogen_bench.mini import plan

    file = tmp_path / "plan.yaml"
    file.write_text(
        "base: {tokenizer: vae, sampler: {name: heun}}\nquick: {base: {tokenizer: {tile: 64}, sampler: euler}}"
    )
    base = {"tokenizer": {"name": "vae", "tile": 64}, "sampler": {"name": "euler"}}
    assert plan.read(file, quick=True) == {"base": base}


def test_of_two_settings_of_one_path_the_last_counts(small):
    assert resolve(small, override_layer(("seed=1", "seed=2"))).seed == 2
    assert resolve(small, override_layer(("sampler=heun", "sampler=euler"))).slots["sampler"].name == "euler"


@pytest.mark.parametrize("order", [*permutations(("guidance.cfg=null", "guidance.cfg.scale=3"))])
def test_a_member_is_not_taken_away_and_set_at_once(order):
    with pytest.raises(ConfigError, match="contradict each other"):
        override_layer(order)


def test_a_size_that_was_written_follows_the_name(small):
    """Over a file with `size: tiny`, another backbone was silently built at its default size, XL."""
    small["backbone"] = {"name": "lightning-dit", "size": "tiny"}
    for line in ("backbone=ddt", "backbone.name=ddt"):
        with pytest.warns(
            ConfigWarning, match="'ddt' replaces 'lightning-dit'.* both components have: size. Dropped options: none"
        ):
            part = resolve(small, override_layer((line,))).slots["backbone"]
        assert (part.name, part.config.size) == ("ddt", "tiny")
    with pytest.warns(ConfigWarning):
        assert resolve(small, {"backbone": "ddt"}).slots["backbone"].config.size == "tiny"


def test_a_preset_that_the_new_component_has_not_is_refused(small):
    small["backbone"] = {"name": "ddt", "size": "XXL"}
    with pytest.warns(ConfigWarning), pytest.raises(ConfigError, match="backbone.size: 'XXL' is unknown"):
        resolve(small, {"backbone": "lightning-dit"})


def test_what_is_dropped_is_said(small):
    small["backbone"] = {"name": "ddt", "size": "tiny", "decoder_depth": 1}
    with pytest.warns(ConfigWarning, match="both components have: size. Dropped options: decoder_depth"):
        resolve(small, {"backbone": "lightning-dit"})
    small["backbone"] = {"name": "lightning-dit", "size": "tiny"}
    small["auxiliary"] = {"repa": {"teacher": {"name": "dinov2-vit-b", "levels": 2}, "block": 1}}
    with pytest.warns(ConfigWarning, match="Dropped options of replaced components: auxiliary.repa.teacher.levels"):
        found = resolve(small, {"auxiliary": {"repa": {"teacher": "dinov2-vit-s"}}})
    assert found.groups["auxiliary"]["repa"].config.teacher == {"name": "dinov2-vit-s"}


def test_what_no_user_wrote_does_not_follow_the_name(small):
    """A method's defaults are for its own components: MeanFlow samples in one step, Euler by itself in 50."""
    for key in ("sampler", "objective"):
        del small[key]
    small["backbone"]["name"] = "ddt"
    assert resolve(small, {"method": "meanflow"}).slots["sampler"].config.steps == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolved = resolve(small, {"method": "meanflow", "objective": "flow", "sampler": "heun"})
    assert resolved.slots["sampler"].config.steps == 50


def test_one_member_under_two_names_is_one_member(small):
    small["guidance"] = {"cfg": {"scale": 3.0}}
    guidance = resolve(small, {"guidance": {"nanogen-core:cfg": {"t_max": 0.5}}}).groups["guidance"]
    assert list(guidance) == ["nanogen-core:cfg"]
    assert (guidance["nanogen-core:cfg"].config.scale, guidance["nanogen-core:cfg"].config.t_max) == (3.0, 0.5)


def test_a_layer_goes_over_what_a_lower_one_says_of_its_task(small):
    small["per_task"] = {"imagenet": {"train": {"steps": 7}, "schedule": {"name": "cosine", "end_step": 7}}}
    with pytest.warns(ConfigWarning, match="'constant' replaces 'cosine'"):
        found = resolve(small, {"train": {"steps": 3}, "schedule": "constant"})
    assert (found.sections["train"].steps, found.slots["schedule"].name) == (3, "constant")
    over = {"train": {"steps": 3}, "per_task": {"imagenet": {"train": {"steps": 5}}}}
    assert resolve(small, over).sections["train"].steps == 5
    lines = ("per_task.imagenet.sampler=heun", "sampler=euler")
    assert resolve(small, override_layer(lines)).slots["sampler"].name == "heun"


def test_combining_without_a_task_keeps_what_each_task_says():
    file = {"train": {"steps": 9, "log_every": 4}, "per_task": {"imagenet": {"train": {"steps": 5}}, "t2i": {}}}
    combined = combine(file, {"train": {"log_every": 2}, "seed": 3})
    whole = {**BASE, "backbone": "ddt", **combined}
    parts = [resolve(whole), resolve({**whole, "task": "t2i"})]
    assert [(each.sections["train"].steps, each.sections["train"].log_every, each.seed) for each in parts] == [
        (5, 2, 3),
        (9, 2, 3),
    ]
