"""What Python imports when it starts, here for `workflow_recorder` to begin its notes."""

import sys
from importlib._bootstrap import module_from_spec  # `importlib.util` takes 3 ms more
from importlib.machinery import PathFinder

import workflow_recorder


def chain() -> None:
    """Runs the `sitecustomize` that Python would have found without this one."""
    spec = PathFinder.find_spec("sitecustomize")
    if spec and spec.loader:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    workflow_recorder.start()
    chain()
