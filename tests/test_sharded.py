"""Shards: equal tensors give equal files, in any process, and the files are those that safetensors reads."""

import json
import subprocess
import sys

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from nanogen_train.checkpoint import distributed as sharded
from tests.processes import forked

TENSORS = {f"block.{number}.weight": torch.arange(6.0).reshape(2, 3) + number for number in range(5)}
TENSORS["é"] = torch.tensor([1, 2])
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_sharded import TENSORS
from nanogen_train.checkpoint import distributed as sharded
for number in range(3):
    sharded.write(Path(sys.argv[1]) / str(number), TENSORS)
"""


def shared(folder):
    """What each of two processes does."""
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    tensors = {name: distribute_tensor(value, mesh, [Shard(0)]) for name, value in TENSORS.items()}
    for number in range(3):
        sharded.write(folder / str(number), tensors)
    dist.barrier()
    dist.destroy_process_group()


def files(folder):
    return [file.read_bytes() for file in sorted(folder.rglob("*.safetensors"))]


def test_two_saves_in_two_processes_give_equal_bytes(request, tmp_path):
    """This one and another, which has a hash seed of its own."""
    program = PROGRAM.format(here=str(request.path.parent))
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "one")], check=True)
    for number in range(3):
        sharded.write(tmp_path / "two" / str(number), TENSORS)
    found = files(tmp_path)
    assert len(found) == 6
    assert len(set(found)) == 1


def test_shares_of_two_processes_are_equal_bytes_in_two_launches_and_are_read_whole(tmp_path):
    for name in ("one", "two"):
        forked.together(shared, tmp_path / name)
    for shard in ("shard-00001-*", "shard-00002-*"):
        found = [file.read_bytes() for file in tmp_path.rglob(shard)]
        assert len(found) == 6
        assert len(set(found)) == 1
    back = sharded.read(tmp_path / "one" / "0", lambda name: None)
    assert all(torch.equal(back[name], value) for name, value in TENSORS.items())


def test_the_texts_of_the_header_are_sorted_and_nothing_else_moves(tmp_path):
    sharded.write(tmp_path, TENSORS)
    (file,) = tmp_path.glob("*.safetensors")
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0  # as safetensors aligns its tensors
    texts = list(header["__metadata__"])
    assert texts == sorted(texts)
    assert len(texts) > 1
    with safe_open(file, "pt") as opened:
        assert all(torch.equal(opened.get_tensor(name), value) for name, value in TENSORS.items())


def test_a_sorted_header_stays_as_it_is(tmp_path):
    sharded.write(tmp_path, TENSORS)
    (file,) = tmp_path.glob("*.safetensors")
    before = file.read_bytes()
    sharded.sort_metadata(file)
    assert file.read_bytes() == before


def test_shards_come_back_as_they_were(tmp_path):
    sharded.write(tmp_path, TENSORS)
    back = sharded.read(tmp_path, lambda name: None)
    assert back.keys() == TENSORS.keys()
    assert all(torch.equal(back[name], value) for name, value in TENSORS.items())
