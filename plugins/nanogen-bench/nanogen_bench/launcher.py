"""Runs a module as a program, without the current folder on the module path: `python launcher.py MODULE ARGUMENT ...`.

`python -m MODULE` looks for every import in the current folder first, so that a stray `filelock.py` there would run.
(Python has `-P` for this from 3.11 on.)
"""

import sys

if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder of this file
    import runpy

    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
