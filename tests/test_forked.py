"""The test processes start with their modules loaded. A training does not import the compiler of torch."""

import yaml

from tests.processes import forked


def test_the_server_has_imported_its_list():
    """An ImportError in the list would be silent."""
    ended = forked.python("import sys; assert 'tests.processes.preloaded' in sys.modules")
    assert ended.returncode == 0, ended.stderr


def test_the_training_loop_knows_the_module_of_cuda_graphs():
    """The loop marks steps only if this module is loaded. A rename in torch would end the marks in silence."""
    code = "import sys, torch; torch.compiler.cudagraph_mark_step_begin()\n"
    ended = forked.python(code + "assert 'torch._inductor.cudagraph_trees' in sys.modules")
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
