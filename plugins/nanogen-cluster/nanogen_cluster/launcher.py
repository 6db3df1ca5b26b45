"""Runs a module without the current folder on the module path: `python launcher.py [-m] MODULE ARGUMENT ...`.

`python -m MODULE` would import modules from the current folder first, such as a user's `filelock.py`. Python 3.11 and
later have the option `-P` for this. The options `-u` and `-m` before MODULE are ignored, so that `python launcher.py`
can take the place of `python`.
"""

import sys

if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder of this file
    import runpy

    sys.argv = sys.argv[1:]
    while sys.argv[0] in ("-u", "-m"):
        del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
