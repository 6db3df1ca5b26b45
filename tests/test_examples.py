"""The promise: one line of configuration between the two tasks."""

from pathlib import Path

from nanogen_core.config import load_config, resolve
from nanogen_files.config_diff import flat

EXAMPLES = Path(__file__).parents[1] / "examples"
MAY_DIFFER = ("task.", "conditioner.", "encoder.", "dataset.", "metric.", "guidance.cfg.scale")


def test_the_examples_differ_in_one_line_and_it_is_the_task():
    lines = [(EXAMPLES / name).read_text().splitlines() for name in ("class.yaml", "text.yaml")]
    differing = [pair for pair in zip(*lines, strict=True) if pair[0] != pair[1]]
    assert differing == [("task: imagenet", "task: t2i")]


def test_resolved_they_differ_only_in_conditioning_data_metrics_and_guidance_scale():
    first, second = (dict(flat(resolve(load_config(EXAMPLES / n)).as_dict())) for n in ("class.yaml", "text.yaml"))
    absent = object()
    differing = {key for key in {*first, *second} if first.get(key, absent) != second.get(key, absent)}
    assert differing
    assert not {key for key in differing if not key.startswith(MAY_DIFFER)}


def test_so_do_the_two_tasks_of_any_configuration():
    """Also with the defaults of real data: nothing but the interval of guidance joins them (its published setting)."""
    config = {"method": "vae"}
    first, second = (dict(flat(resolve({**config, "task": task}).as_dict())) for task in ("imagenet", "t2i"))
    differing = {key for key in {*first, *second} if first.get(key) != second.get(key)}
    assert not {key for key in differing if not key.startswith((*MAY_DIFFER, "guidance.cfg.t_max"))}
