"""`train.init`: the five forms of fine-tuning, grown networks, the report, and what is refused."""

import json
from copy import deepcopy

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import ConfigError, DataError, Incompatible, NanoGenError, TrainingError
from nanogen_core.tensors import Condition, State, Times
from nanogen_data import contents
from nanogen_data.saved_pipelines import saved_files
from nanogen_data.testing.fakes import TinyBackbone, TinyBackboneConfig
from nanogen_files import storage
from nanogen_files.adaptation import Adapted, resize_positions
from nanogen_train import InitReport, Run, start_from
from nanogen_train.checkpoint import checkpoint
from nanogen_train.cli.train import train as train_command
from nanogen_train.init.source import read
from nanogen_train.init.start import _identified

BACKBONES = {
    "lightning-dit": {"name": "lightning-dit", "hidden": 16, "depth": 2, "heads": 1},
    "ddt": {"name": "ddt", "hidden": 16, "depth": 2, "heads": 1, "decoder_hidden": 16, "decoder_depth": 1}
    | {"decoder_heads": 1},
    "dit": {"name": "dit", "hidden": 16, "depth": 2, "heads": 1},
    "jit": {"name": "jit", "hidden": 16, "depth": 2, "heads": 1, "bottleneck": 8, "patch_size": 1}
    | {"in_context_start": 1},
}
SUMS = ("dit", "jit")  # backbones that always add the embedding of t - r to that of t


@pytest.fixture(params=BACKBONES)
def config(request, small):
    return {**small, "backbone": BACKBONES[request.param]}


@pytest.fixture
def base(config, tmp_path):
    """A pipeline whose weights are all random, as after a long training: zero weights would hide a wrong one."""
    return saved(config, tmp_path / "base")


def saved(config, folder):
    pipeline = build_pipeline(config, seed=7)
    generator = torch.Generator().manual_seed(1)
    for parameter in pipeline.backbone.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return pipeline.save(folder)


def given(folder):
    return storage.read_tensors(folder / "backbone.safetensors")


def initialised(config, folder, **over):
    pipeline = build_pipeline(config, **over)
    before = deepcopy(pipeline.backbone.state_dict())
    report = start_from(pipeline, str(folder))
    return pipeline.backbone.state_dict(), report.backbone, before, pipeline


def inputs(pipeline, rows=3):
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn(rows, *pipeline.latent.shape, generator=generator)
    spec = pipeline.conditioner.spec
    return State(latent), torch.rand(rows, generator=generator), Condition(torch.eye(spec.width)[:rows, None])


@torch.no_grad()
def output(pipeline, state, times, condition):
    return pipeline.backbone(state, times, condition).value.latent


def train(config, folder, **changes):
    training = Run(build_pipeline({**config, "train": {**config["train"], **changes}}), folder)
    training.train()
    return training


# -- the five forms --------------------------------------------------------------------------------------------------


def test_the_same_network_starts_from_the_averaged_weights_of_a_run(small, tmp_path):
    train(small, tmp_path / "base")
    training = Run(
        build_pipeline({**small, "train": {**small["train"], "init": str(tmp_path / "base")}}), tmp_path / "x"
    )
    tensors = given(tmp_path / "base")
    for net in ("student", "ema"):
        state = training.stage.nets[net].state_dict()
        assert state.keys() == tensors.keys()
        assert all(torch.equal(state[name], tensors[name]) for name in tensors)
    assert training.step == 0
    assert not training.optimization.state()["optimizer-student"]
    training.train()
    assert checkpoint.steps_in(tmp_path / "x") == [3, 6]


def test_all_of_the_same_network_is_taken(config, base):
    state, report, _, _ = initialised(config, base)
    assert all(torch.equal(state[name], tensor) for name, tensor in given(base).items())
    assert {entry.action for entry in report.entries} == {"taken"}
    assert not report.unused


def test_from_classes_to_texts_what_reads_the_condition_is_fresh(config, base, tmp_path):
    state, report, before, _ = initialised(config, base, task="t2i")
    condition = {name for name in state if ".condition." in name or name.startswith("condition.")}
    assert condition == set(report.names("fresh"))
    assert all(torch.equal(state[name], before[name]) for name in condition)
    assert all(torch.equal(state[name], given(base)[name]) for name in state.keys() - condition)
    assert set(report.unused) == given(base).keys() - (state.keys() - condition)
    train({**config, "task": "t2i"}, tmp_path / "text", init=str(base))
    assert isinstance(Pipeline.load(tmp_path / "text").generate(["an apple"], tensors=True), torch.Tensor)


def test_another_size_needs_no_change_of_rotary_or_fixed_positions(config, base, tmp_path):
    state, report, _, pipeline = initialised(config, base, image_size=32)
    assert pipeline.latent.height == 2 * Pipeline.load(base).latent.height
    assert {entry.action for entry in report.entries} == {"taken"}
    assert all(torch.equal(state[name], tensor) for name, tensor in given(base).items())
    train({**config, "image_size": 32}, tmp_path / "large", init=str(base))
    assert Pipeline.load(tmp_path / "large").generate(["dog"], tensors=True).shape[-1] == 32


@pytest.mark.parametrize("interval", ["sum", "tokens"])
def test_from_flow_to_meanflow_each_time_embedding_keeps_its_meaning(config, base, interval, tmp_path):
    options = {} if config["backbone"]["name"] in SUMS else {"interval": interval}
    meanflow = {**config, "objective": "meanflow", "backbone": {**config["backbone"], **options}}
    state, report, before, pipeline = initialised(meanflow, base)
    tensors = given(base)
    if options == {"interval": "tokens"}:
        for name in state:
            if "encoder.second_time." in name:  # reads t, as `time` of the source
                assert torch.equal(state[name], tensors[name.replace("second_time", "time")])
            elif "encoder.time." in name:  # reads t - r, which the source does not
                assert torch.equal(state[name], before[name])
    else:
        state_, t, condition = inputs(pipeline)
        for r in (t, t * 0.3):  # the embedding of t - r is zero at first
            expected = output(Pipeline.load(base), state_, Times(t, t), condition)
            assert torch.allclose(output(pipeline, state_, Times(t, r), condition), expected, atol=1e-5)
    assert report.unused == {}
    train(meanflow, tmp_path / "meanflow", init=str(base))
    changed = given(tmp_path / "meanflow")
    moved = "second_time" if options == {"interval": "tokens"} else "interval"
    assert any(moved in name and not torch.equal(changed[name], state[name]) for name in state)


def test_from_meanflow_to_flow_the_embedding_of_t_is_taken(small, tmp_path):
    folder = saved({**small, "objective": "meanflow"}, tmp_path / "base")
    state, report, _, _ = initialised(small, folder)
    for name in state:
        if name.startswith("encoder.time."):
            assert torch.equal(state[name], given(folder)[name.replace("time", "second_time")])
    assert all(name.startswith("encoder.time.") for name in report.unused)


# The fifth form, adapters, is tested in test_adapters.py.


# -- grown networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("larger", [{"depth": 4}, {"mlp_ratio": 7.0}, {"depth": 3, "mlp_ratio": 5.0}], ids=str)
def test_a_grown_network_computes_the_same_at_first(config, base, larger):
    _, report, _, pipeline = initialised({**config, "backbone": {**config["backbone"], **larger}}, base)
    state, t, condition = inputs(pipeline)
    expected = output(Pipeline.load(base), state, Times(t, t), condition)
    assert torch.allclose(output(pipeline, state, Times(t, t), condition), expected, atol=1e-5)
    assert report.unused == {}
    pipeline.backbone(state, Times(t, t), condition).value.latent.square().sum().backward()
    new = [p.grad.abs().max() for b in blocks(pipeline)[2:] for n, p in b.named_parameters() if "weight" in n]
    assert not new or max(new) > 0


def test_a_new_block_of_a_decoder_is_the_identity_and_learns(small, tmp_path):
    config = {**small, "backbone": BACKBONES["ddt"]}
    folder = saved(config, tmp_path / "base")
    _, _, _, pipeline = initialised({**config, "backbone": {**config["backbone"], "decoder_depth": 2}}, folder)
    state, t, condition = inputs(pipeline)
    expected = output(Pipeline.load(folder), state, Times(t, t), condition)
    assert torch.allclose(output(pipeline, state, Times(t, t), condition), expected, atol=1e-5)
    pipeline.backbone(state, Times(t, t), condition).value.latent.square().sum().backward()
    assert pipeline.backbone.decoder.blocks[1].modulation.weight.grad.abs().max() > 0


def blocks(pipeline):
    net = pipeline.backbone
    return list(net.encoder.blocks if hasattr(net, "encoder") else net.blocks)


class Learned(TinyBackbone):
    """A network with a learned position table, which it resizes."""

    def __init__(self, config, *, latent, condition):
        super().__init__(config, latent=latent, condition=condition)
        self.grid = (latent.height, latent.width)
        self.positions = nn.Parameter(torch.randn(1, latent.height * latent.width, latent.channels))

    def forward(self, state, *rest, **options):
        table = self.positions[0].T.reshape(-1, *self.grid)
        return super().forward(State(state.latent + table), *rest, **options)

    def adapt_state(self, state, origin):
        if "positions" not in state or origin.latent is None:
            return {}
        resized = resize_positions(state["positions"], origin.latent[1:], self.grid)
        return {"positions": Adapted(resized, "resized", ("positions",))}


def test_a_network_resizes_its_position_table(small, tmp_path):
    def pipeline(size):
        latent = build_pipeline(small, image_size=size).latent
        condition = build_pipeline(small).conditioner.spec
        return build_pipeline(
            small, image_size=size, backbone=Learned(TinyBackboneConfig(), latent=latent, condition=condition)
        )

    first, second = pipeline(16), pipeline(32)
    report = start_from(second, str(first.save(tmp_path))).backbone
    assert report.names("resized") == ["positions"]
    side = first.latent.height
    old = first.backbone.positions[0].T.reshape(1, -1, side, side)
    new = torch.nn.functional.interpolate(old, (2 * side, 2 * side), mode="bicubic", align_corners=False)
    assert torch.allclose(second.backbone.positions[0].T.reshape(new.shape), new, atol=1e-6)


# -- the report ------------------------------------------------------------------------------------------------------


def test_the_report_counts_every_tensor_and_is_in_the_record(small, tmp_path):
    folder = saved(small, tmp_path / "base")
    training = train({**small, "objective": "meanflow"}, tmp_path / "x", init=str(folder))
    report = training.init
    assert isinstance(report, InitReport)
    assert {entry.name for entry in report.backbone.entries} == set(training.pipeline.backbone.state_dict())
    table = str(report)
    assert "encoder.second_time.mlp_in <- encoder.time.mlp_in" in table
    assert "`backbone.interval: sum` keeps it" in table
    assert "objective was 'flow' and is 'meanflow'" in table
    record = json.loads((tmp_path / "x" / "run.json").read_text(encoding="utf-8"))["init"]
    assert record["source"] == str(folder)
    assert record["sha256"] == contents.path_hash(folder)
    assert record["parts"]["backbone"]["taken"] == len(report.backbone.names("taken"))
    assert "encoder.time.mlp_in.weight" in record["parts"]["backbone"]["fresh"]


def test_the_report_names_the_networks_of_auxiliary_losses(small, tmp_path):
    folder = saved(small, tmp_path / "base")
    auxiliary = {"self-flow": {"block": 1, "teacher_block": 1}}  # with a head; `distill` of velocities has none
    losses = {**auxiliary, "distill": {"teacher": str(folder)}}
    training = train({**small, "auxiliary": losses}, tmp_path / "x", init=str(folder))
    (note,) = (note for note in training.init.notes if "auxiliary" in note)
    assert note.endswith("so these begin fresh: self-flow")
    assert f"note: {note}" in str(training.init)
    record = json.loads((tmp_path / "x" / "run.json").read_text(encoding="utf-8"))["init"]
    assert note in record["notes"]
    plain = train(small, tmp_path / "plain", init=str(folder))
    assert not any("auxiliary" in note for note in plain.init.notes)


def test_other_classes_make_the_class_embedding_fresh(config, base):
    facts = storage.read_json(base / "pipeline.json")
    facts["classes"] = list(reversed(facts["classes"]))
    storage.write_json(base / "pipeline.json", facts)
    state, report, before, _ = initialised(config, base)
    condition = {name for name in state if ".condition." in name or name.startswith("condition.")}
    assert set(report.names("fresh")) == condition
    assert all(torch.equal(state[name], before[name]) for name in condition)


def test_equal_files_in_another_place_are_the_same_condition(tmp_path):
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(text, encoding="utf-8")
    found = [_identified({"encoder": {"name": "bert", "folder": str(tmp_path / name)}}) for name in "abc"]
    assert found[0] == found[1] != found[2]


def test_a_resumed_run_keeps_the_record_and_needs_no_source(small, tmp_path):
    folder = saved(small, tmp_path / "base")
    train(small, tmp_path / "x", init=str(folder))
    before = json.loads((tmp_path / "x" / "run.json").read_text(encoding="utf-8"))["init"]
    for file in folder.iterdir():
        file.unlink()
    config = {**small, "train": {**small["train"], "init": str(folder), "steps": 8}}
    resumed = Run(build_pipeline(config), tmp_path / "x", resume=True)
    assert resumed.init is None
    resumed.train()
    assert json.loads((tmp_path / "x" / "run.json").read_text(encoding="utf-8"))["init"] == before


def test_the_fingerprint_follows_the_weights_and_not_their_place(small, tmp_path):
    def fingerprint(folder):
        config = {**small, "train": {**small["train"], "init": str(folder)}}
        return contents.configuration(build_pipeline(config).config)["train"]["init"]

    first, copied = saved(small, tmp_path / "a"), saved(small, tmp_path / "b")
    assert fingerprint(first) == fingerprint(copied)
    (copied / "log.jsonl").write_text("{}", encoding="utf-8")  # a run goes on
    assert fingerprint(first) == fingerprint(copied)
    tensors = given(copied)
    storage.write_tensors(copied / "backbone.safetensors", {name: tensor + 1 for name, tensor in tensors.items()})
    assert fingerprint(first) != fingerprint(copied)


# -- the command, files and mistakes ---------------------------------------------------------------------------------


def test_a_part_of_an_overwritten_pipeline_is_no_part_of_the_new_one(small, tmp_path):
    """`save` leaves the weights of parts that the new pipeline lacks, and `load` does not read them."""
    pipeline = build_pipeline(small)
    fresh, reused = tmp_path / "fresh", tmp_path / "reused"
    pipeline.save(reused, weights={"objective": {"old": torch.ones(2)}})
    with_old = contents.path_hash(reused)
    pipeline.save(reused)
    pipeline.save(fresh)
    assert (reused / "objective.safetensors").is_file()
    assert contents.path_hash(reused) == contents.path_hash(fresh) != with_old
    assert [file.name for file in saved_files(reused)] == ["config.yaml", "pipeline.json", "backbone.safetensors"]
    assert list(read(str(reused)).states) == ["backbone"]


def test_the_command_prints_the_table(small, tmp_path):
    folder = saved(small, tmp_path / "base")
    storage.write_text(tmp_path / "cfg.yaml", json.dumps(small))
    for source in (folder, folder / "backbone.safetensors"):
        words = [str(tmp_path / "cfg.yaml"), "--init", str(source), "--output", str(tmp_path / source.name / "x")]
        result = CliRunner().invoke(train_command, words)
        assert result.exit_code == 0, result.output
        assert f"Start from {source} (sha256 " in result.output
        assert "taken" in result.output
    both = CliRunner().invoke(train_command, [str(tmp_path / "x"), "--resume", "--init", str(folder)])
    assert both.exit_code == 2
    assert "remove --resume" in both.output


def test_a_file_alone_is_taken_by_names_and_shapes(small, tmp_path):
    folder = saved(small, tmp_path / "base")
    alone = tmp_path / "alone.safetensors"
    storage.write_tensors(alone, given(folder))
    pipeline = build_pipeline(small)
    report = start_from(pipeline, str(alone))
    assert all(torch.equal(pipeline.backbone.state_dict()[name], tensor) for name, tensor in given(folder).items())
    assert "the options and classes of alone.safetensors are unknown" in str(report)


def test_weights_that_do_not_fit_are_refused_with_the_difference(small, tmp_path):
    folder = saved(small, tmp_path / "base")
    with pytest.raises(Incompatible, match=r"has shape \[16, \d+\] in the source and \[32, \d+\] in this"):
        start_from(build_pipeline(small, backbone={"hidden": 32}), str(folder))
    with pytest.raises(Incompatible, match="The backbone is 'lightning-dit' in the source and 'dit' in this"):
        start_from(build_pipeline({**small, "backbone": BACKBONES["dit"]}), str(folder))


def test_a_folder_that_would_be_moved_aside_is_no_source(small, tmp_path):
    train(small, tmp_path / "x")
    config = {**small, "train": {**small["train"], "init": str(tmp_path / "x")}}
    with pytest.raises(TrainingError, match="which --overwrite would move aside"):
        Run(build_pipeline(config), tmp_path / "x", overwrite=True)
    assert (tmp_path / "x" / "run.json").exists()


class Scaled(nn.Module):
    """Labels whose tokens are scaled by a learned number."""

    def __init__(self, inner, scale):
        super().__init__()
        self.inner, self.spec, self.scale = inner, inner.spec, nn.Parameter(torch.tensor([scale]))

    def encode(self, batch):
        return Condition(self.inner.encode(batch).tokens * self.scale)

    def null(self, count):
        return Condition(self.inner.null(count).tokens * self.scale)


def test_a_learned_conditioner_is_taken_and_one_of_another_condition_is_not(small, tmp_path):
    def pipeline(scale, size=32):
        config = {**small, "dataset": {**small["dataset"], "train": size}}
        return build_pipeline(config, conditioner=Scaled(build_pipeline(config).conditioner, scale))

    folder = pipeline(3.0).save(tmp_path)
    second = pipeline(1.0)
    assert start_from(second, str(folder)).parts["conditioner"].names("taken") == ["scale"]
    assert second.conditioner.scale == 3.0
    facts = storage.read_json(folder / "pipeline.json")
    storage.write_json(folder / "pipeline.json", {**facts, "classes": facts["classes"][::-1]})
    third = pipeline(1.0)
    report = start_from(third, str(folder)).parts["conditioner"]
    assert (report.names("fresh"), list(report.unused), third.conditioner.scale.item()) == (["scale"], ["scale"], 1.0)


def test_a_wrong_source_is_refused(small, tmp_path):
    pipeline = build_pipeline(small)
    with pytest.raises(ConfigError, match=r"train.init: \S+ does not exist"):
        start_from(pipeline, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="contains no saved pipeline"):
        start_from(pipeline, str(tmp_path))
    folder = saved(small, tmp_path / "base")
    tensors = given(folder)
    storage.write_tensors(folder / "backbone.safetensors", {n: t * float("nan") for n, t in tensors.items()})
    with pytest.raises(DataError, match="NaN"):
        start_from(pipeline, str(folder))
    assert not (tmp_path / "x").exists()


def test_an_adaptation_of_another_shape_is_refused(small, tmp_path):
    class Wrong(TinyBackbone):
        def adapt_state(self, state, origin):
            return {"inlet.weight": Adapted(torch.zeros(1), "resized")}

    spec, latent = build_pipeline(small).conditioner.spec, build_pipeline(small).latent
    net = Wrong(TinyBackboneConfig(), latent=latent, condition=spec)
    folder = build_pipeline(small, backbone=net).save(tmp_path)
    with pytest.raises(NanoGenError, match=r"Wrong.adapt_state returns 'inlet.weight' of shape \[1\]"):
        start_from(build_pipeline(small, backbone=net), str(folder))
