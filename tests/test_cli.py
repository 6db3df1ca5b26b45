"""The command line as a person meets it: whole processes, their output and their exit status."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.processes import forked

ROOT = Path(__file__).parents[1]
VERBS = ["bench", "config", "data", "demo", "ema", "import", "plugins", "recipes", "runs", "sample", "train"]


def nanogen(*words, cwd=None, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    environment.pop("NANOGEN_DATA", None)
    return forked.nanogen(*words, cwd=cwd, environment=environment)


@pytest.fixture
def config(small, tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small))
    return path


@pytest.mark.parametrize(
    "words", [[], *[[verb] for verb in VERBS], ["config", "show"], ["config", "diff"], ["bench", "correlate"]]
)
def test_every_help_is_free_of_torch(words):
    code = (
        "import sys; from nanogen_core.cli.main import cli\n"
        f"try: cli({[*words, '--help']!r})\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'numpy', 'accelerate', 'transformers', 'diffusers', 'PIL', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_listing_plugins_and_showing_a_configuration_are_free_of_torch(config):
    code = (
        "import sys; from nanogen_core.cli.main import cli\n"
        f"for words in (['plugins'], ['config', 'show', {str(config)!r}]):\n"
        "    try: cli(words)\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nanogen-dit" in done.stdout


def test_train_sample_and_resume(config, tmp_path):
    run = tmp_path / "run"
    done = nanogen("train", config, "--output", run)
    assert done.returncode == 0, done.stderr
    assert "step 2/6" in done.stderr
    assert f"are in {run}" in done.stdout

    again = nanogen("train", config, "--output", run)
    assert again.returncode == 1
    assert "already contains a run" in again.stderr

    longer = nanogen("train", run, "--resume", "--set", "train.steps=8")
    assert longer.returncode == 0, longer.stderr
    assert "step 8/8" in longer.stderr

    drawn = nanogen("sample", run, "--label", "apple", "--label", "5", "--count", "2", "--steps", "1")
    assert drawn.returncode == 0, drawn.stderr
    names = sorted(path.name for path in (run / "generated").iterdir())
    assert names == ["00000-apple.png", "00001-apple.png", "00002-5.png", "00003-5.png", "grid.png"]


def test_ctrl_c_leaves_a_checkpoint(config, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "nanogen_core", "train", str(config), "--output", str(run)]
    command += ["--set", "train.steps=100000", "--set", "train.log_every=1", "--set", "train.checkpoint_every=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stderr:
            if line.startswith("step 3/"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=120) == 130
    assert f"with `nanogen train {run} --resume`." in rest
    assert "Error" not in rest
    assert "Traceback" not in rest
    assert len(list((run / "checkpoints").iterdir())) == 1
    assert nanogen("sample", run, "--label", "dog", "--steps", "1").returncode == 0


@pytest.mark.parametrize(
    ("words", "place", "sentence"),
    [
        (
            ["sample", ".", "--label", "dog"],
            "nanogen_core.pipeline.Pipeline.load",
            "No image was written: run the same",
        ),
        (["evaluate", "."], "nanogen_eval.cli.evaluate.evaluate_source", "(every 60 s) are kept: the same command"),
        (["runs", "."], "nanogen_train.runs.runs_in", "Stopped."),
    ],
)
def test_ctrl_c_says_what_is_kept_and_how_to_continue(monkeypatch, capsys, tmp_path, words, place, sentence):
    from nanogen_core.cli import main as command

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, interrupted)
    monkeypatch.setattr(sys, "argv", ["nanogen", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130
    said = capsys.readouterr().err.strip()
    assert said.startswith("Stopped.")
    assert sentence in said
    assert "\n" not in said


def test_show_is_what_train_writes_down(config, tmp_path):
    shown = nanogen("config", "show", config)
    assert nanogen("train", config, "--output", tmp_path / "run", "--set", "train.steps=1").returncode == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    written["train"]["steps"] = 6
    assert yaml.safe_load(shown.stdout) == written
    assert json.loads(nanogen("config", "show", config, "--json").stdout) == written


def test_diff_names_the_lines_that_differ(config, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("lr: 0.001", "lr: 0.002"))
    assert nanogen("config", "diff", config, other).stdout == "optimizer.lr: 0.001 -> 0.002\n"


def test_diff_applies_set_to_the_second_configuration_only(config):
    set_lr = ["--set", "optimizer.lr=0.002"]
    assert nanogen("config", "diff", config, config, *set_lr).stdout == "optimizer.lr: 0.001 -> 0.002\n"
    assert nanogen("config", "diff", config, config).stdout == "No differences.\n"


def test_statistics_of_latents_are_measured_over_so_many_images(config, tmp_path):
    file = tmp_path / "statistics.safetensors"
    rae = ["--set", "tokenizer={name: rae, encoder: openmoji-classifier}", "--set", "image_size=64"]
    done = nanogen("data", "stats", config, "--output", file, "--limit", "10", "--batch-size", "4", *rae)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Wrote the statistics of 10 images to {file}.\n"
    assert file.exists()


def test_plugins_as_json():
    listed = json.loads(nanogen("plugins", "--json").stdout)
    assert "nanogen-core" in {plugin["distribution"] for plugin in listed["plugins"]}
    assert listed["offers"]["backbone"]["ddt"]["distributions"] == ["nanogen-dit"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "CONFIG", "--set", "task=imagenett"], "There is no task 'imagenett'. Did you mean 'imagenet'?"),
        (["train", "CONFIG", "--set", "method=vea"], "There is no method 'vea'. Did you mean 'vae'?"),
        (["train", "CONFIG", "--set", "backbone.hiden=3"], "backbone.hiden: unknown key. Did you mean 'hidden'?"),
        (["train", "CONFIG", "--set", "train.steps=many"], "train.steps: expected an integer, got 'many'"),
        (["train", "CONFIG", "--set", "image_size=20"], "multiple of 8 for the tokenizer 'openmoji-vae', got 20"),
        (["train", "CONFIG", "--set", "dataset=imagenet-folder"], "NANOGEN_DATA"),
        (["train", "CONFIG", "--set", "task=t2i", "--set", "dataset=imagenet-folder"], "provides 'captions'"),
        (["train", "CONFIG", "--resume"], "Cannot resume"),
        (["train", "RUN"], "is the folder of a run or pipeline. Add --resume to continue the run"),
        (
            ["train", "nowhere.yaml"],
            "Cannot read the configuration nowhere.yaml: No such file or directory. Give a YAML file or a recipe",
        ),
        (
            ["train", "CONFIG", "--set", "steps"],
            "--set must have the form KEY.PATH=VALUE, such as train.steps=100, got 'steps'",
        ),
        (["train", "CONFIG", "--set", "train.steps", "5"], "got 'train.steps'. Quote spaces."),
        (["sample", "nowhere", "--label", "apple"], "There is no saved pipeline in nowhere"),
        (["import", "nowhere.safetensors"], "nowhere.safetensors"),
        (
            ["data", "stats", "CONFIG", "--output", "x"],
            "uses no latent statistics. Tokenizers that do: rae",
        ),
        (["trian"], "There is no command 'trian'. Did you mean 'train'?"),
    ],
)
def test_a_mistake_is_one_sentence_without_a_traceback(config, tmp_path, words, sentence):
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "config.yaml").write_bytes(config.read_bytes())
    places = {"CONFIG": config, "RUN": run}
    done = nanogen(*[places.get(word, word) for word in words], cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") <= 3


def test_debug_shows_the_traceback(tmp_path):
    done = nanogen("--debug", "train", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Cannot read the configuration" in done.stderr


@pytest.mark.parametrize("options", [["--output", "file/run"], []])
def test_a_run_that_cannot_write_says_where_and_what_to_do(config, tmp_path, options):
    (tmp_path / "file").write_text("")
    (tmp_path / "runs").write_text("")
    done = nanogen("train", config, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    place = "file/run" if options else "runs"
    assert place in done.stderr
    assert "Correct the path or its permissions, or set --output." in done.stderr


def test_a_wrong_configuration_costs_no_import_of_torch(config):
    code = (
        "import sys; from nanogen_core.cli.main import cli; from nanogen_core.errors import NanoGenError\n"
        f"try: cli(['train', {str(config)!r}, '--set', 'backbone.hiden=3'], standalone_mode=False)\n"
        "except NanoGenError as error: assert 'hiden' in str(error)\n"
        "else: raise AssertionError\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [10**14, 2**62])
def test_too_little_memory_is_one_sentence(monkeypatch, capsys, size):
    """The error is torch's own, for more memory than any machine has."""
    import torch

    from nanogen_core.cli import main as command

    monkeypatch.setattr(command, "cli", lambda **options: torch.empty(size))
    monkeypatch.setattr(sys, "argv", ["nanogen", "train", "x"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == f"Error: {command.OUT_OF_MEMORY}\n"


def test_another_runtime_error_keeps_its_traceback(monkeypatch):
    from nanogen_core.cli import main as command

    def broken(**options):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(command, "cli", broken)
    monkeypatch.setattr(sys, "argv", ["nanogen", "train", "x"])
    with pytest.raises(RuntimeError, match="shapes differ"):
        command.main()


def test_import_is_refused_without_a_hint_and_tells_its_decisions_with_one(tmp_path):
    file = ROOT / "plugins" / "nanogen-dit" / "tests" / "fixtures" / "ddt_label.safetensors"
    refused = nanogen("import", file, cwd=tmp_path)
    assert refused.returncode == 1
    assert "--recipe sd-vae-mse: tokenizer.preset=sdvae-mse objective.prediction=velocity" in refused.stderr
    assert not list(tmp_path.iterdir())
    words = ("import", file, "--recipe", "sd-vae-mse", "--set", "sampler.steps=2", "--output", "here")
    done = nanogen(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {"tokenizer.preset: sdvae-mse (recipe sd-vae-mse)", "sampler.steps: 2 (--set)"} <= set(lines)
    assert lines[-1].endswith("into the pipeline here.")
    assert (tmp_path / "here" / "backbone.safetensors").is_file()
    again = nanogen(*words, cwd=tmp_path)
    assert again.returncode == 1
    assert "here is not empty" in again.stderr
