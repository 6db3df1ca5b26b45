"""`train.adapter`: adapters train, save, resume, load and merge. peft's own loader is the independent source."""

import json
import sys

import pytest
import torch
from click.testing import CliRunner

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import ConfigError, TrainingError
from nanogen_core.tensors import Condition, State, Times
from nanogen_files import storage
from nanogen_train import Run, start_from
from nanogen_train.adapters.merge import merge_run
from nanogen_train.checkpoint import checkpoint
from nanogen_train.cli.merge import merge as merge_command
from nanogen_train.ema import snapshots

peft = pytest.importorskip("peft")  # an extra of nanogen-train

LORA = {"type": "lora", "r": 4, "lora_alpha": 8}
TYPES = [
    LORA,
    {**LORA, "use_dora": True},
    {"type": "loha", "r": 4},
    {"type": "lokr", "r": 4},
    {"type": "ia3", "target_modules": ["qkv"], "feedforward_modules": []},
]


@pytest.fixture
def base(small, tmp_path):
    """A pipeline with random weights, so that every layer has an effect."""
    small["backbone"]["depth"] = 2
    small["optimizer"]["lr"] = 0.05  # the adapter is far from zero after six steps
    pipeline = build_pipeline(small, seed=7)
    for parameter in pipeline.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    return pipeline.save(tmp_path / "base")


def adapted(small, base, adapter=LORA, **over):
    train = {**small["train"], "init": str(base), "adapter": adapter, **over.pop("train", {})}
    return {**small, **over, "train": train}


def trained(config, folder, **options):
    training = Run(build_pipeline(config), folder, **options)
    training.train()
    return training


@torch.no_grad()
def output(backbone, pipeline, rows=3):
    generator = torch.Generator().manual_seed(5)
    latent, t = torch.randn(rows, *pipeline.latent.shape, generator=generator), torch.rand(rows, generator=generator)
    condition = Condition(torch.eye(pipeline.conditioner.spec.width)[:rows, None])
    return backbone(State(latent), Times(t, t), condition).value.latent


def far(first, second):
    return float((first - second).abs().max())


@pytest.mark.parametrize("adapter", TYPES, ids=str)
def test_an_adapter_loads_as_peft_loads_it_and_merges_to_the_same(small, base, adapter, tmp_path):
    trained(adapted(small, base, adapter), tmp_path / "run")
    loaded, plain = Pipeline.load(tmp_path / "run"), Pipeline.load(base)
    expected = output(loaded.backbone, loaded)
    assert far(expected, output(plain.backbone, plain)) > 1e-3  # the adapter has an effect
    by_peft = peft.PeftModel.from_pretrained(plain.backbone, str(tmp_path / "run" / "adapter"))
    assert far(output(by_peft, plain), expected) <= 1e-6
    merge_run(tmp_path / "run", tmp_path / "merged")
    merged = Pipeline.load(tmp_path / "merged")
    assert merged.config.sections["train"].adapter is None
    assert set(merged.backbone.state_dict()) == set(build_pipeline(small).backbone.state_dict())
    assert far(output(merged.backbone, merged), expected) <= 1e-5
    assert far(merged.generate(["dog"], tensors=True), loaded.generate(["dog"], tensors=True)) <= 1e-5


def test_only_the_adapter_is_trained_and_averaged(small, base, tmp_path):
    training = trained(adapted(small, base), tmp_path / "run")
    student, ema = (training.stage.nets[name] for name in ("student", "ema"))
    names = [name for name, p in student.named_parameters() if p.requires_grad]
    assert [f"student.{name}" for name in names] == training.optimization.names["student"]
    assert all("lora_" in name and "blocks." in name for name in names)
    assert len(names) == 2 * 4 * 2  # A and B of qkv, proj, w12 and w3 in two blocks
    source = storage.read_tensors(base / "backbone.safetensors")
    for name, tensor in storage.read_tensors(tmp_path / "run" / "backbone.safetensors").items():
        if "lora_" not in name:
            assert torch.equal(tensor, source[name.replace(".base_layer", "")])
    averaged = dict(ema.named_parameters())
    for name, parameter in student.named_parameters():
        assert (averaged[name] is parameter) == (name not in names)
        assert parameter.requires_grad == (name in names)
    kept = checkpoint.load(tmp_path / "run", 6)[0]["nets"]
    assert any(not torch.equal(kept[f"ema.{name}"], kept[f"student.{name}"]) for name in names)
    assert {name for name in kept if name.startswith("ema.") and "lora_" not in name} == {
        "ema.encoder.time.frequencies"
    }


def test_a_resumed_adapter_is_that_of_an_uninterrupted_run(small, base, tmp_path):
    trained(adapted(small, base), tmp_path / "whole")
    trained(adapted(small, base, train={"steps": 3}), tmp_path / "parts")
    trained(adapted(small, base), tmp_path / "parts", resume=True)
    first, second = (checkpoint.load(tmp_path / name, 6)[0] for name in ("whole", "parts"))
    assert first.keys() == second.keys()
    for part, tensors in first.items():
        assert tensors.keys() == second[part].keys()
        assert all(torch.equal(tensor, second[part][name]) for name, tensor in tensors.items())
    files = [storage.read_tensors(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("whole", "parts")]
    assert all(torch.equal(tensor, files[1][name]) for name, tensor in files[0].items())


def test_an_adapter_from_classes_to_texts_trains_the_condition_too(small, base, tmp_path):
    config = adapted(small, base, task="t2i")
    with pytest.raises(TrainingError, match=r"such as 'encoder.condition.norm.weight'\. .* `modules_to_save:"):
        Run(build_pipeline(config), tmp_path / "x")
    config["train"]["adapter"] = {**LORA, "modules_to_save": ["condition"]}
    trained(config, tmp_path / "x")
    merge_run(tmp_path / "x", tmp_path / "merged")
    loaded, merged = Pipeline.load(tmp_path / "x"), Pipeline.load(tmp_path / "merged")
    words = ["a red apple"]
    assert far(merged.generate(words, tensors=True), loaded.generate(words, tensors=True)) <= 1e-5
    state = merged.backbone.state_dict()["encoder.condition.proj.weight"]
    assert not torch.equal(state, build_pipeline(config).backbone.state_dict()["encoder.condition.proj.weight"])


def test_an_adapter_trains_with_the_exact_derivative_of_meanflow(small, base, tmp_path):
    small["backbone"]["interval"] = "sum"
    adapter = {**LORA, "modules_to_save": ["interval"]}
    objective = {"name": "meanflow", "probability": 1.0}
    trained(adapted(small, base, adapter, objective=objective), tmp_path / "run")
    assert Pipeline.load(tmp_path / "run").generate(["dog"], steps=1, tensors=True).isfinite().all()


def test_a_run_starts_from_the_merged_weights_of_an_adapter(small, base, tmp_path):
    trained(adapted(small, base), tmp_path / "run")
    pipeline = build_pipeline(small)
    start_from(pipeline, str(tmp_path / "run"))
    loaded = Pipeline.load(tmp_path / "run")
    assert far(output(pipeline.backbone, pipeline), output(loaded.backbone, loaded)) <= 1e-5


def test_snapshots_hold_the_adapter_alone(small, base, tmp_path):
    small["stage"]["ema_snapshots"] = {"sigma_rel": [0.1], "every": 3}
    trained(adapted(small, base), tmp_path / "run")
    for snapshot in snapshots.snapshots_in(tmp_path / "run"):
        assert all("lora_" in name for name in storage.read_tensors(snapshot.path(tmp_path / "run")))


def test_the_commands_merge_and_dry_run(small, base, tmp_path):
    from nanogen_train.cli.train import train

    storage.write_text(tmp_path / "cfg.yaml", json.dumps(small))
    config = [str(tmp_path / "cfg.yaml"), "--init", str(base), "--set", "train.adapter={type: lora, r: 2}"]
    dry = CliRunner().invoke(train, [*config, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "Start from" in dry.output
    assert CliRunner().invoke(train, [*config, "--output", str(tmp_path / "run")]).exit_code == 0
    result = CliRunner().invoke(merge_command, [str(tmp_path / "run"), "--output", str(tmp_path / "merged")])
    assert result.output == f"The merged pipeline is in {tmp_path / 'merged'}.\n"
    with pytest.raises(TrainingError, match="already contains a saved pipeline"):
        merge_run(tmp_path / "run", tmp_path / "merged")
    with pytest.raises(ConfigError, match="without an adapter"):
        merge_run(base, tmp_path / "other")


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({"type": "lara"}, r"train.adapter.type: peft has no type 'lara'. Did you mean 'lora'\?"),
        ({"type": "lora", "rank": 8}, "train.adapter.rank: is not an option of peft's LoraConfig"),
        ({"type": "lora", "target_modules": ["nowhere"]}, "peft cannot add 'lora' to the backbone"),
        ({"type": "prompt_tuning"}, "prompt_tuning"),
        ({"type": "lora", "r": 0}, "train.adapter"),
        ({"type": "lora", "lora_dropout": 0.1}, "train.adapter.lora_dropout: .* depend on the number of processes"),
        ({"type": "adalora", "total_step": 10}, "'adalora' changes the adapter's ranks during training"),
        ({"type": "vera"}, "peft cannot add 'vera' to the backbone"),
        ({"type": "ia3"}, "train.adapter"),
    ],
)
def test_wrong_options_are_refused(small, base, adapter, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        Run(build_pipeline(adapted(small, base, adapter)), tmp_path / "x")
    assert not (tmp_path / "x" / "run.json").exists()


def test_an_adapter_needs_weights_a_type_and_ddp(small, base):
    with pytest.raises(ConfigError, match="Set train.init to a run, pipeline or file of weights"):
        build_pipeline({**small, "train": {**small["train"], "adapter": LORA}})
    with pytest.raises(ConfigError, match="must be a mapping such as"):
        build_pipeline(adapted(small, base, "lora"))
    with pytest.raises(ConfigError, match="train.strategy fsdp does not support adapters"):
        build_pipeline(adapted(small, base, train={"strategy": "fsdp"}))


def test_without_peft_one_sentence_says_how_to_install_it(small, base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"^train.adapter needs peft: `pip install nanogen-train\[peft\]`.$"):
        Run(build_pipeline(adapted(small, base)), tmp_path / "x")
