"""Every number of every configuration and of every verb refuses what cannot be meant."""

import math
from types import UnionType
from typing import Union, get_args, get_origin

import attrs
import click
import pytest

from nanogen_core.cli.main import cli
from nanogen_core.cli.options import Number
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_core.registry import import_object, registry
from nanogen_core.validators import not_below
from nanogen_eval.options import BootstrapConfig, EvalOptions, Sampling
from nanogen_files.structure import structure
from nanogen_train.planning.hardware import GPU
from nanogen_train.planning.plan import Setting
from nanogen_train.settings import TrainConfig

pytestmark = pytest.mark.filterwarnings("ignore::nanogen_core.errors.ConfigWarning")

NEVER = (math.nan, math.inf, -math.inf, -(10**12), 10**12, 10**5000, True, "7")
SUSPECT = (-1, 0)

#: Why a suspect value, or a huge one, is meant all the same.
ALLOWED = {
    "a factor of 0 turns a loss, a term or noise off": {
        "RepaEConfig.align_weight": [0],
        "RepaEConfig.l1_weight": [0],
        "RepaEConfig.perceptual_weight": [0],
        "RepaEConfig.kl_weight": [0],
        "ProjectedConfig.momentum": [0],
        "EDMConfig.cls_token_weight": [0],
        "EDMConfig.internal_weight": [0],
        "DistillConfig.weight": [0],
        "AlphaFlowConfig.norm_p": [0],
        "AlphaFlowConfig.internal_weight": [0],
        "AlphaFlowConfig.kappa": [0],
        "SCMConfig.cls_token_weight": [0],
        "SCMConfig.internal_weight": [0],
        "TrigFlowConfig.cls_token_weight": [0],
        "TrigFlowConfig.internal_weight": [0],
        "DriftingConfig.scale_power": [0],
        "ProjectedConfig.parallel": [0],
        "ProjectedConfig.norm": [0],
        "SDEConfig.norm": [0],
        "SelfAlignmentConfig.weight": [0],
        "SelfFlowConfig.cls_token_weight": [0],
        "SelfFlowConfig.internal_weight": [0],
        "ContrastiveFlowConfig.cls_token_weight": [0],
        "ContrastiveFlowConfig.internal_weight": [0],
        "ContrastiveFlowConfig.repulsion": [0],
        "DispersiveConfig.weight": [0],
        "RepaConfig.weight": [0],
        "IRepaConfig.weight": [0],
        "IRepaConfig.gamma": [0],
        "LpipsConfig.weight": [0],
        "LpipsConfig.norm_p": [0],
        "ConvNeXtConfig.weight": [0],
        "ConvNeXtConfig.norm_p": [0],
        "PatchTokensConfig.norm_p": [0],
        "PatchTokensConfig.weight": [0],
        "FlowConfig.cls_token_weight": [0],
        "FlowConfig.internal_weight": [0],
        "MeanFlowConfig.internal_weight": [0],
        "ImprovedMeanFlowConfig.internal_weight": [0],
        "CFGConditionedMeanFlowConfig.internal_weight": [0],
        "MeanFlowConfig.norm_p": [0],
        "ImprovedMeanFlowConfig.norm_p": [0],
        "CFGConditionedMeanFlowConfig.norm_p": [0],
        "CFGConditionedMeanFlowConfig.scale_power": [0],
        "MeanFlowConfig.kappa": [0],
        "DecoderStageConfig.noise": [0],
        "DecoderStageConfig.perceptual_weight": [0],
        "DecoderStageConfig.adversarial_weight": [0],
        "DecoderStageConfig.cutout": [0],
        "AdamWConfig.weight_decay": [0],
        "MuonConfig.weight_decay": [0],
    },
    "a guidance scale of 0 is the unconditional model": {
        "SCMConfig.teacher_scale": [0],
        "AutoGuidanceConfig.scale": [0],
        "CFGZeroStarConfig.scale": [0],
        "ProjectedConfig.scale": [0],
        "PathDropConfig.scale": [0],
        "ClassifierFreeConfig.scale": [0],
        "InternalConfig.scale": [0],
        "InternalConfig.null_scale": [0],
    },
    "a decay of 0 keeps nothing of the past": {
        "RepaEConfig.ema_decay": [0],
        "DriftingConfig.ema_decay": [0],
        "DiffusionConfig.ema_decay": [0],
        "DecoderStageConfig.ema_decay": [0],
        "AdamWConfig.beta1": [0],
        "AdamWConfig.beta2": [0],
        "MuonConfig.beta1": [0],
        "MuonConfig.beta2": [0],
        "MuonConfig.momentum": [0],
    },
    "a share or probability of 0 is none": {
        "RepaEConfig.condition_dropout": [0],
        "AlphaFlowConfig.probability": [0],
        "AlphaFlowConfig.alpha_clamp": [0],
        "SprintDDTConfig.share": [0],
        "SprintDDTConfig.path_drop": [0],
        "SprintLightningDiTConfig.share": [0],
        "SprintLightningDiTConfig.path_drop": [0],
        "TreadDDTConfig.share": [0],
        "TreadLightningDiTConfig.share": [0],
        "DiffusionConfig.condition_dropout": [0],
        "DecoderStageConfig.augment_probability": [0],
        "MeanFlowConfig.probability": [0],
        "ImprovedMeanFlowConfig.probability": [0],
        "CFGConditionedMeanFlowConfig.probability": [0],
        "FolderConfig.max_corrupt": [0],
        "ParquetConfig.max_corrupt": [0],
        "ArrowConfig.max_corrupt": [0],
        "WebDatasetConfig.max_corrupt": [0],
        "ConstantLinearConfig.final": [0],
        "CosineConfig.final": [0],
        "GenEvalConfig.threshold": [0],
        "GenEvalConfig.counting_threshold": [0],
        "GenEvalConfig.max_overlap": [0],
        "GenEvalConfig.position_threshold": [0],
        "DetectedConfig.threshold": [0],
        "ScenesConfig.threshold": [0],
        "ScenesConfig.counting_threshold": [0],
        "ScenesConfig.max_overlap": [0],
        "ScenesConfig.position_threshold": [0],
    },
    "time 0 is the data, the end of sampling": {
        "AlphaFlowConfig.t_min": [0],
        "AlphaFlowConfig.t_max": [0],
        "AutoGuidanceConfig.t_min": [0],
        "AutoGuidanceConfig.t_max": [0],
        "CFGZeroStarConfig.t_min": [0],
        "CFGZeroStarConfig.t_max": [0],
        "ProjectedConfig.t_min": [0],
        "ProjectedConfig.t_max": [0],
        "PathDropConfig.t_min": [0],
        "PathDropConfig.t_max": [0],
        "ClassifierFreeConfig.t_min": [0],
        "ClassifierFreeConfig.t_max": [0],
        "InternalConfig.t_min": [0],
        "InternalConfig.t_max": [0],
        "ImprovedMeanFlowConfig.t_min": [0],
        "ImprovedMeanFlowConfig.t_max": [0],
        "CFGConditioningConfig.t_min": [0],
        "CFGConditioningConfig.t_max": [0],
        "LpipsConfig.below": [0],
        "ConvNeXtConfig.below": [0],
        "PatchTokensConfig.below": [0],
        "DecoderStageConfig.discriminator_from": [0],
    },
    "the mean of a normal number has either sign": {
        "EDMConfig.level_mean": [-1, 0],
        "AlphaFlowConfig.time_mean": [-1, 0],
        "SCMConfig.level_mean": [-1, 0],
        "TrigFlowConfig.level_mean": [-1, 0],
        "SelfFlowConfig.time_mean": [-1, 0],
        "ContrastiveFlowConfig.time_mean": [-1, 0],
        "FlowConfig.time_mean": [-1, 0],
        "MeanFlowConfig.time_mean": [-1, 0],
        "ImprovedMeanFlowConfig.time_mean": [-1, 0],
        "CFGConditionedMeanFlowConfig.time_mean": [-1, 0],
    },
    "a period or a number of 0 is never, or none": {
        "IRepaConfig.until": [0],
        "RepaConfig.until": [0],
        "AlphaFlowConfig.alpha_start": [0],
        "AlphaFlowConfig.alpha_end": [0],
        "SCMConfig.tangent_warmup": [0],
        "CFGZeroStarConfig.zero_steps": [0],
        "SelfAlignmentConfig.interval": [0],
        "EvaluateConfig.every": [0],
        "TrainConfig.num_workers": [0],
        "TrainConfig.sample_every": [0],
        "TrainConfig.checkpoint_every": [0],
        "TrainConfig.keep_every": [0],
        "ConstantConfig.warmup_steps": [0],
        "CosineConfig.warmup_steps": [0],
        "ConstantLinearConfig.warmup_steps": [0],
        "ConstantLinearConfig.constant_steps": [0],
        "TextConfig.cache_size": [0],
        "OpenMojiConfig.hold_out": [0],
        "BootstrapConfig.draws": [0],
        "EvalOptions.save_every": [0],
    },
    "blocks count from 0": {
        "JiTConfig.in_context_start": [0],
        "EncoderConfig.levels[]": [0],  # of the list
    },
    "a seed is a name, not a size": {
        "KidConfig.seed": [0, 10**12],
        "Mind6Config.seed": [0, 10**12],
        "OpenMojiConfig.seed": [0, 10**12],
        "PhotosConfig.seed": [0, 10**12],
    },
}
REASONS = {name: values for names in ALLOWED.values() for name, values in names.items()}


def kinds(annotation):
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def config_classes():
    """The class of every component's options and of every section, and the classes of options inside them."""
    offers = [offer.what for found in registry().components.values() for each in found.values() for offer in each]
    found = {import_object(what.config) for what in offers if what.config} | {TrainConfig}
    todo = list(found)
    while todo:
        config = attrs.resolve_types(todo.pop())
        inside = {kind for field in attrs.fields(config) for kind in kinds(field.type) if attrs.has(kind)}
        todo += inside - found
        found |= inside
    return sorted(found, key=lambda config: (config.__module__, config.__qualname__))


def numbers(config):
    """(name, whether in a list) of every numeric option."""
    for field in attrs.fields(attrs.resolve_types(config)):
        for kind in kinds(field.type):
            if kind in (int, float) or (get_origin(kind) is tuple and get_args(kind)[0] in (int, float)):
                yield field.name, kind not in (int, float)


CONFIGS = config_classes()
FIELDS = [(config, *field) for config in CONFIGS for field in numbers(config)]


def required(config):
    return {field.name: "x" for field in attrs.fields(config) if field.default is attrs.NOTHING}


def taken(config, name, value):
    """Whether a configuration, and the class itself, take the value."""
    values = {**required(config), name: value}
    try:
        structure(values, config, "x")
    except ConfigError:
        return False
    config(**values)
    return True


@pytest.mark.parametrize(("config", "name", "listed"), FIELDS, ids=lambda each: getattr(each, "__name__", None))
def test_every_number_refuses_what_cannot_be_meant(config, name, listed):
    allowed = REASONS.get(f"{config.__name__}.{name}{'[]' * listed}", [])
    found = [value for value in (*NEVER, *SUSPECT) if taken(config, name, [value] if listed else value)]
    assert sorted(value for value in found if value is not True) == sorted(allowed)
    assert True not in [value for value in found if isinstance(value, bool)]


@pytest.mark.parametrize(("config", "name", "listed"), FIELDS, ids=lambda each: getattr(each, "__name__", None))
def test_the_class_itself_refuses_them_too(config, name, listed):
    """A library user builds `AdamWConfig(lr=...)` without a configuration file."""
    for value in (math.nan, math.inf, 10**20):
        with pytest.raises((ValueError, NanoGenError)):
            config(**{**required(config), name: (value,) if listed else value})


def test_the_walk_found_the_classes():
    assert len(FIELDS) > 150
    assert {"TrainConfig", "AdamWConfig", "DDTConfig", "SnapshotConfig", "FlowConfig"} <= {c.__name__ for c in CONFIGS}
    outside = {config.__name__ for config in (BootstrapConfig, EvalOptions)}
    assert {name.partition(".")[0] for name in REASONS} <= {config.__name__ for config in CONFIGS} | outside


@pytest.mark.parametrize("config", [BootstrapConfig, EvalOptions, Sampling, GPU, Setting])
def test_so_do_the_options_of_evaluation_and_planning(config):
    base = (
        {"memory": 1, "tflops": 1}
        if config is GPU
        else {"gpus": 1, "gpu": GPU(memory=1, tflops=1)}
        if config is Setting
        else {}
    )
    for name, _ in numbers(config):
        for value in (math.nan, math.inf, -1, 10**12, *([] if f"{config.__name__}.{name}" in REASONS else [0])):
            with pytest.raises(ValueError, match=f"{name}: must be"):
                config(**{**base, name: value})


def verbs(command, path="nanogen"):
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from verbs(command.get_command(context, name), f"{path} {name}")
    else:
        yield from ((path, option) for option in command.params)


VERBS = [
    (path, option)
    for path, option in verbs(cli)
    if isinstance(option.type, (Number, click.IntRange, click.FloatRange)) or option.type in (click.INT, click.FLOAT)
]


@pytest.mark.parametrize(("path", "option"), VERBS, ids=[f"{path} {option.opts[0]}" for path, option in VERBS])
def test_every_number_of_a_verb_refuses_what_cannot_be_meant(path, option):
    wrong = ["nan", "inf", "-inf", "-1", "1" + "0" * 5000, *([] if option.opts[0] == "--seed" else ["1" + "0" * 12])]
    for text in wrong:
        with pytest.raises(click.BadParameter) as caught:
            option.type.convert(text, option, None)
        assert len(caught.value.format_message()) < 300


def test_the_walk_found_the_verbs():
    assert len(VERBS) > 20


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        (
            {"schedule": {"constant_steps": 2_000_000}},
            "schedule.end_step: 1000000 must be at least constant_steps (2000000)",
        ),
        (
            {"schedule": {"name": "cosine", "warmup_steps": 200_000}},
            "schedule.end_step: 100000 must be greater than warm",
        ),
        (
            {"schedule": {"name": "cosine", "warmup_steps": 9, "end_step": 9}},
            "schedule.end_step: 9 must be greater than",
        ),
        ({"optimizer": {"beta1": 1.0}}, "optimizer.beta1: must be at least 0 and below 1, got 1.0"),
        ({"optimizer": {"lr": math.inf}}, "optimizer.lr: must be a finite number, got inf"),
        ({"objective": {"name": "flow", "t_eps": 7}}, "objective.t_eps: must be above 0 and below 1, got 7.0"),
        ({"image_size": None}, "image_size: expected an integer, got None"),
        ({"image_size": 10**6}, "image_size: must be at least 1 and at most 8,192, got 1000000"),
        (
            {"image_size": 10**5000},
            "image_size: must be at least 1 and at most 8,192, got an integer of 16610 bits",
        ),
        ({"seed": -1}, "seed: must be at least 0"),
        ({"train": {"batch_size": 10**12}}, "train.batch_size: must be at least 1 and at most 1,048,576"),
        ({"train": {"num_workers": 10**12}}, "train.num_workers: must be at least 0 and at most 1,024"),
        ({"backbone": {"depth": 10**12}}, "backbone.depth: must be above 0 and at most 1,000"),
        (
            {"backbone": {"hidden": 65_536, "depth": 900}},
            "backbone.heads: 900 blocks of width 65536 have more than 100,",
        ),
        (
            {"guidance": {"cfg": {"t_min": 0.5, "t_max": 0.1}}},
            "guidance.cfg.t_max: must be at least t_min (0.5), got 0.1",
        ),
        (
            {"train": {"precomputed_latents": "a\0b"}},
            "train.precomputed_latents: 'a\\x00b' contains a NUL character or invalid UTF-8",
        ),
        ({"train": 5}, "train: expected a mapping of options, got 5"),
        ({"stage": {"ema_snapshots": 5}}, "stage.ema_snapshots: expected a mapping, got 5"),
        ({"guidance": {"nobody": 5}}, "guidance.nobody: expected a mapping of options, got 5"),
        ({"backbone": {3: 4, "name": "ddt"}}, "backbone: the key 3 must be a string"),
        ({3: 4}, "3: a key must be a string"),
        ({"per_task": {"imagenet": {"task": "t2i"}}}, "per_task.imagenet.task: set `task` at the top level"),
    ],
)
def test_values_that_ended_in_tracebacks_or_were_taken(small, over, sentence):
    with pytest.raises(ConfigError) as caught:
        resolve(small, over)
    assert str(caught.value).startswith(sentence)


def test_a_name_that_is_no_text_is_refused_where_layers_meet(small):
    layers = [{"auxiliary": {"repa": {"teacher": {"name": name, "levels": 2}}}} for name in ("dinov2-vit-b", 10**5000)]
    with pytest.raises(ConfigError, match="auxiliary.repa.teacher: an integer of 16610 bits"):
        resolve(small, *layers)


def test_a_component_without_validators_is_guarded_too():
    @attrs.frozen(kw_only=True)
    class Careless:
        rate: float = 0.0
        count: int = 0
        path: str = ""

    for name, value in {"rate": math.nan, "count": 2**63, "path": "\ud800"}.items():
        with pytest.raises(ConfigError, match=f"x.{name}: "):
            structure({name: value}, Careless, "x")
    for fitting in (-(2**63), 2**63 - 1):
        assert structure({"count": fitting}, Careless, "x").count == fitting
    with pytest.raises(ConfigError, match="does not fit into a 64-bit integer"):
        structure({"count": -(2**63) - 1}, Careless, "x")


def test_an_error_lists_no_more_than_twenty_mistakes_and_shows_no_long_value(small):
    many = {f"option_{number}": "x" * 100_000 for number in range(1000)}
    with pytest.raises(ConfigError) as caught:
        resolve(small, {"train": many, "backbone": {"size": "y" * 1_000_000}})
    assert len(str(caught.value)) < 20_000
    assert "and 981 more mistakes" in str(caught.value)


def test_no_limit_of_another_option_holds_nan():
    @attrs.frozen
    class Interval:
        low: float
        high: float = attrs.field(validator=not_below("low"))

    assert Interval(1.0, 1.0).high == 1.0
    for low, high in ((0.0, math.nan), (math.nan, 1.0), (1.0, 0.5)):
        with pytest.raises(ValueError, match="high: must be at least low"):
            Interval(low, high)
