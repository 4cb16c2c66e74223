"""The README's code blocks: what they are, and what their commands print now.

    python -m tests.readme

runs them in a fresh clone and writes what they print into README.md. test_readme.py compares instead.
Blocks of `console` are run, `$ ` before a command. Blocks that begin with `# <file>` are written to that
file (to the end of MLproject). Blocks of `bash` set a machine up; test_environments.py runs the first.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, begin_repository, copy_own_files

README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its text."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block shows, if its first line says so."""
        match = re.match(r"# ([\w./]+\.\w+|MLproject)\b", self.text)
        return match[1] if match else None

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command with the output that is shown after it."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


def blocks(text: str | None = None) -> list[Block]:
    """The blocks of README.md in order."""
    return [Block(*found) for found in BLOCK.findall(text or README.read_text(encoding="utf-8"))]


def setup_commands() -> list[str]:
    """The two commands that set a machine up: to run the main job, and to pass the tests."""
    return [block.text.strip() for block in blocks() if block.language == "bash"][:2]


def write_file(block: Block, project: Path) -> None:
    """Makes the file that a block shows."""
    file = project / str(block.file)
    file.parent.mkdir(exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.name == "MLproject" else ""
    text = block.text.partition("\n")[2] if before else block.text
    file.write_text(f"{before}\n{text}" if before else text, encoding="utf-8")


def printed(command: str, project: Path) -> str:
    """What a command prints, both streams, without MLflow's log lines."""
    python = Path(sys.executable).parent
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("MLFLOW", "GIT_"))}
    identity = {
        f"GIT_{who}_{what}": "you" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environment = {**kept, **identity, "PATH": f"{python}{os.pathsep}{kept['PATH']}", "LOGNAME": "ann"}
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return without_log_lines(done.stdout.decode()).replace(str(project), "…")


def without_log_lines(text: str) -> str:
    """Output without the lines that MLflow dates, and without empty lines at both ends."""
    lines = [line for line in text.splitlines() if not re.match(r"\d{4}/\d\d/\d\d ", line)]
    return "\n".join(lines).strip("\n") + "\n"


def alike(text: str) -> str:
    """Output without what differs from run to run: ids, times, ages, and the columns' widths."""
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b|\b[a-f]{7,8}\b", "<id>", text)
    text = re.sub(r"\b\d+(\.\d+)? (s|min|h|d)\b( \d+ (s|min))?", "<time>", text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines()).strip()


def fresh_clone(folder: Path) -> Path:
    """This repository as somebody has it who has just cloned it."""
    project = folder / "mlflow-workflow"
    copy_own_files(project, only=("",))
    begin_repository(project)
    return project


def renewed(project: Path) -> list[tuple[str, str]]:
    """Each block of commands, and the same commands with what they print now."""
    found = []
    for block in blocks():
        if block.file:
            write_file(block, project)
        if block.language == "console":
            runs = [f"$ {command}\n{printed(command, project)}" for command, _ in block.commands()]
            found.append((block.text, "\n".join(runs)))
    return found


def main() -> None:
    """Writes what the commands print now into README.md."""
    with tempfile.TemporaryDirectory() as folder:
        new = renewed(fresh_clone(Path(folder)))
    # Read again: somebody may have written in it meanwhile.
    text = README.read_text(encoding="utf-8")
    for before, after in new:
        text = text.replace(f"```console\n{before}```", f"```console\n{after}```", 1)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
