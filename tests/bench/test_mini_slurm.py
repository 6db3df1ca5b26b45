"""The experiment on SLURM: submitted, preempted, requeued and collected; failures, retries, and the cost of a plan."""

import csv
import json
from pathlib import Path

import pytest

from nanogen_bench.mini import dry_run, plan
from nanogen_bench.mini.dry_run import GPU, UTILISATION, Speed
from nanogen_bench.mini.experiment import experiment, resolved
from nanogen_bench.mini.job import jobs
from nanogen_bench.mini.scheduler import Options, Scheduler, Slots
from nanogen_cluster.command import Command
from nanogen_cluster.queues import LocalQueue, SlurmQueue
from nanogen_cluster.resources import Resources
from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_files import yaml_files
from nanogen_train.cli.plan import plan as plan_command
from nanogen_train.planning.cost import cost_of
from nanogen_train.planning.units import FLOPS, GPU_HOURS, quantity
from tests.bench.finished_runs import write_finished
from tests.bench.test_mini import TINY, tiny
from tests.cluster.slurm import Slurm, shell, until

ONE = tiny(methods={"vae": TINY["methods"]["vae"]}, prepared={})
QUEUE = SlurmQueue(Resources(hours=1))


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setattr(SlurmQueue, "poll_s", 0.2)
    return Slurm(tmp_path, monkeypatch)


def run(raw, output, told, *, only=(), queue=QUEUE, **options):
    return experiment(raw, output, only=only, queue=queue, options=Options(**options), log=told.append)


def test_a_training_is_submitted_preempted_requeued_and_collected(tmp_path, slurm):
    raw, output, told = {**ONE, "steps": 60}, tmp_path / "out", []
    job, other = jobs(plan.checked(raw), output, ["vae"])
    output.mkdir()
    (output / "plan.yaml").write_text(yaml_files.dump(raw))
    write_finished(other, 0.5)
    assert run(raw, output, told, wait=False) == []
    assert "1 run is in SLURM's queue: run the same command to collect the results." in told
    (number,) = slurm.scripts
    until(lambda: (job.folder / "log.jsonl").exists() and (job.folder / "log.jsonl").read_text())
    with pytest.raises(NanoGenError, match=f"was submitted to SLURM as job {number}: use --executor slurm"):
        run(raw, output, told, queue=LocalQueue())
    slurm.cancel(number, "--signal", "USR2")
    assert run(raw, output, told) == []  # waits for it
    assert slurm.runs(number) == 2
    assert list(slurm.scripts) == [number]  # submitted once
    steps = [json.loads(line)["step"] for line in (job.folder / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 61))
    log = (output / "logs" / "imagenet" / "vae" / "seed-0" / f"{number}_0_log.out").read_text()
    assert "Caught signal SIGUSR2" in log
    assert log.count("step 1 ") == 1  # it resumed
    assert (output / "table.csv").is_file()
    told.clear()
    assert run(raw, output, told) == []
    assert told[0] == "2 of 2 runs are already finished."
    assert list(slurm.scripts) == [number]


def test_a_job_that_dies_is_submitted_again_and_then_failed(tmp_path, slurm, monkeypatch):
    monkeypatch.setattr(Scheduler, "command", lambda self, job, slot: Command(shell("kill -9 $$"), cwd=tmp_path))
    told = []
    failed = run(TINY, tmp_path / "out", told, only=("rae",), retries=1)
    assert [job.title for job in failed] == ["imagenet decoder", "imagenet rae seed 0", "t2i rae seed 0"]
    decoder, *others = (job.error for job in failed)
    assert decoder.startswith("It ended without a result: job ")
    assert others == ["This run needs imagenet decoder, which failed. Resolve that error first."] * 2
    names = [line for text in slurm.scripts.values() for line in text.splitlines() if "job-name" in line]
    assert names.count("#SBATCH --job-name=nanogen-imagenet-decoder") == 2
    assert not list(tmp_path.glob("out/logs/**/job.json"))


def test_a_failure_is_collected_once_and_the_next_command_submits_again(tmp_path, slurm, monkeypatch):
    def fail(self, job, slot):
        file = job.folder / "failure.json"
        text = f"""mkdir -p {file.parent}; echo '{{"error": "Too large."}}' > {file}; exit 1"""
        return Command(shell(text), cwd=tmp_path)

    monkeypatch.setattr(Scheduler, "command", fail)
    told, slots = [], Slots(count=1)
    assert run(ONE, tmp_path / "out", told, wait=False, slots=slots) == []
    assert told[-2].endswith("1 run waits for a free slot.")
    slurm.wait("1000", "FAILED")
    (failed,) = run(ONE, tmp_path / "out", told, wait=False, slots=slots)
    assert "[1/2] imagenet vae seed 0: failed: Too large.  (0 min left)" in told
    assert failed.error == "Too large."
    assert list(slurm.scripts) == ["1000", "1001"]  # the second is t2i
    slurm.wait("1001", "FAILED")
    run(ONE, tmp_path / "out", told, wait=False)  # collects t2i and submits imagenet again
    assert sum("job-name=nanogen-imagenet-vae-seed-0" in text for text in slurm.scripts.values()) == 2


def test_a_machine_without_slurm_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NanoGenError, match="`sbatch` was not found"):
        run(ONE, tmp_path / "out", [])
    assert not (tmp_path / "out").exists()
    for job in jobs(plan.checked(ONE), tmp_path / "out", ["vae"]):
        write_finished(job, 0.5)
    (tmp_path / "out" / "plan.yaml").write_text(yaml_files.dump(ONE))
    assert run(ONE, tmp_path / "out", []) == []  # only the tables are left to write
    assert (tmp_path / "out" / "table.csv").is_file()


# -- cost --------------------------------------------------------------------------------------------------------------

PUBLISHED = Path(__file__).parents[1] / "data" / "published_recipes.csv"


def test_the_paper_plan_trains_the_published_recipes_with_their_own_lengths(tmp_path):
    paper = plan.checked(plan.read(plan.find("paper")))
    with PUBLISHED.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == "imagenet" and row["image_size"] == "256"]
    assert len(paper.methods) == len(rows) == 26
    todo = jobs(paper, tmp_path, list(paper.methods))
    assert len(todo) == 52
    found = []
    for job in todo:
        configuration = resolved(job).as_dict()
        steps = {"imagenet": 100_080, "t2i": 100_000}[job.task]  # 80 epochs of 1,251; as published
        assert (configuration["train"]["steps"], configuration["train"]["batch_size"]) == (steps, 1024)
        assert configuration["seed"] == 42
        if job.task == "imagenet" and job.config["method"] != "meanflow":
            found.append(configuration["guidance"]["cfg"]["scale"])
    assert sorted(found) == sorted(float(row["cfg_scale"]) for row in rows if row["method"] != "MeanFlow")


def test_the_cost_of_a_plan_is_a_product_of_known_numbers(tmp_path, monkeypatch):
    """FLOPs per image are set to 2 TFLOPs here: 4 steps of 8 images, two tasks and two seeds."""
    counted = []
    monkeypatch.setattr(dry_run, "flops_of", lambda configuration, classes: counted.append(1) or 2e12)
    raw = {**ONE, "seeds": [0, 1], "steps": 4}

    def lines(queue=QUEUE, **speed):
        speed = Speed(**speed)
        return list(dry_run.dry_run(raw, tmp_path / "out", only=(), queue=queue, speed=speed, log=progress.append))

    progress = []
    told = "\n".join(lines())
    assert f"4 trainings: 0.256 PFLOPs, {256 / (989 * 0.4):.3f} GPU seconds." in told
    assert "Assumed speed: 0.4 of the peak of 989 TFLOP/s per GPU (h100). For another GPU, set" in told
    assert len(counted) == 2  # one for each task
    counts = ["Counting FLOPs: vae, imagenet", "Counting FLOPs: vae, t2i"]
    assert progress == ["Reading the configurations of 4 unfinished runs.", *counts]
    # 4 x 32 images x 2 TFLOPs = 256 TFLOPs: at 40% of 0.1 TFLOP/s 6,400 s
    told = "\n".join(lines(gpu_tflops=0.1, utilisation=0.4))
    assert f"4 trainings: 0.256 PFLOPs, {6400 / 3600:.3f} GPU hours." in told
    assert "Assumed speed: 0.4 of the peak of 0.1 TFLOP/s per GPU.\n" in told
    (tmp_path / "out.scripts" / "old.sh").write_text("#SBATCH --job-name=nanogen-imagenet-old-seed-0\n")
    (tmp_path / "out.scripts" / "my.sh").write_text("#SBATCH --job-name=mine\n")
    # 0.02 images/s: 128 images take 6,400 s
    told = "\n".join(lines(measured="vae=0.02"))
    assert f", {6400 / 3600:.3f} GPU hours." in told
    assert "Wrote 4 scripts for sbatch into" in told
    assert "The scripts fail if you submit them" in told
    scripts = {path.name for path in (tmp_path / "out.scripts").iterdir()}
    assert scripts == {"my.sh", *(f"{task}-vae-seed-{seed}.sh" for task in ("imagenet", "t2i") for seed in (0, 1))}
    assert "#SBATCH --time=60" in (tmp_path / "out.scripts" / "t2i-vae-seed-1.sh").read_text()
    assert not (tmp_path / "out").exists()


def test_the_cost_of_real_methods_is_that_of_the_plan_command(tmp_path):
    methods = {
        "vae": TINY["methods"]["vae"],
        "meanflow": {"summary": "b", "family": "b", "config": {"method": "meanflow"}},
    }
    raw, speed = {**ONE, "methods": methods}, Speed(gpu_tflops=0.001)
    lines = list(dry_run.dry_run(raw, tmp_path / "out", only=(), queue=LocalQueue(), speed=speed, log=print))
    todo = jobs(plan.checked(raw), tmp_path / "out", list(methods))
    flops = {(job.name, job.task): cost_of(resolved(job), classes=10).flops for job in todo}
    assert len({*flops.values()}) == len(todo) == 4
    for line, one in zip(lines[1:5], flops.values(), strict=True):
        assert f" {quantity(one, FLOPS)} " in line
        assert line.endswith(f" {quantity(32 * one / (1e9 * UTILISATION) / 3600, GPU_HOURS)}")


def test_the_default_speed_is_that_of_the_plan_command():
    defaults = {option.name: option.default for option in plan_command.params}
    assert (defaults["name"], defaults["utilisation"]) == (GPU, UTILISATION)


@pytest.mark.parametrize(
    ("speed", "sentence"),
    [
        ({"gpu_tflops": 1.0, "measured": "vae=1"}, "--measured excludes --gpu-tflops and --utilisation"),
        ({"utilisation": 0.5, "measured": "vae=1"}, "--measured excludes --gpu-tflops and --utilisation"),
        ({"measured": "vea=1"}, "--measured vea=1: write METHOD=RATE"),
        ({"measured": "vae=fast"}, "--measured vae=fast: write METHOD=RATE"),
    ],
)
def test_a_wrong_speed_is_a_sentence_before_anything_is_counted(tmp_path, monkeypatch, speed, sentence):
    monkeypatch.setattr(dry_run, "flops_of", lambda configuration, classes: pytest.fail("it was counted"))
    with pytest.raises(ConfigError, match=sentence):
        list(dry_run.dry_run(ONE, tmp_path, only=(), queue=LocalQueue(), speed=Speed(**speed), log=print))
