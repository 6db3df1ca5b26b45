"""The processes of the tests begin with their imports, and a training imports nothing that takes seconds."""

import yaml

from tests.processes import forked


def test_the_server_has_imported_its_list():
    """An ImportError in the list would be silent."""
    ended = forked.python("import sys; assert 'tests.processes.preloaded' in sys.modules")
    assert ended.returncode == 0, ended.stderr


def test_a_training_without_compilation_does_not_load_the_compiler(small, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    code = (
        "import sys; from tests.processes import forked\n"
        "try: forked.command(['train', 'small.yaml', '--output', 'run'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch._inductor.cudagraph_trees', 'torch._inductor.compile_fx'} & set(sys.modules)"
    )
    ended = forked.python(code, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "backbone.safetensors").exists()
