"""The command that repeats an invocation exactly: the same commit, changes and parameters."""

import shlex
from collections.abc import Mapping

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.identity.code import Code
from mlflow_workflow.identity.patch import PATCH
from mlflow_workflow.project.request import Request


def command(request: Request, code: Code, source: str) -> str:
    """One line for a shell. `source` is what `mlflow run` was given, if it was.

    A project that was run from its URL is run from there again, any other in its clone.
    """
    given = " ".join(f"-P {quoted(f'{name}={value}')}" for name, value in asked(request).items())
    if code.commit and "://" in source and not source.startswith("file:"):
        where = f"mlflow run {shlex.quote(without_credentials(source))} -v {code.commit}"
        return f"{where} {given}"
    run = f"mlflow run {shlex.quote(code.path or '.')} {given}"
    checkout = [f"git checkout {code.commit}"] if code.commit else []
    return " && ".join([*checkout, *([f"git apply {PATCH}"] if code.dirty else []), run])


def quoted(text: str) -> str:
    """One word for a shell, on one line: bash and zsh know a way to write a newline."""
    if text.isprintable():
        return shlex.quote(text)
    marks = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    inner = "".join(marks.get(c, c if c.isprintable() else escape(c)) for c in text)
    return f"$'{inner}'"


def escape(character: str) -> str:
    """A character as bash writes it by number."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def asked(request: Request) -> dict[str, str]:
    """What has to be given: all that is not the default, what config files set included.

    A config file may change or go, so its values stand for it; but a sweep takes them as its base,
    where they cannot be told from the swept ones.
    """
    defaults = {n: p.default or "" for n, p in request.workflow.main.parameters.items()}
    given = {n: v for n, v in request.given.items() if v != defaults.get(n)}
    if request.configs and len(request.variants) < 2:
        given = {**given, **from_configs(request, defaults)}
        given.pop("config", None)
        given |= {"config": ""} if defaults["config"] else {}
    return {"task": request.task, **{n: v for n, v in given.items() if n != "task"}}


def from_configs(request: Request, defaults: Mapping[str, str]) -> dict[str, str]:
    """The settings and the steps' parameters that are not as MLproject has them."""
    found = {n: v for n, v in request.settings.items() if v != defaults[n]}
    for node in request.nodes:
        for name, parameter in node.step.own_parameters.items():
            if node.values.get(name) != parameter.default and not node.pin:
                found[f"{node.step.name}.{name}"] = node.values[name]
    return found
