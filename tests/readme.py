"""The code blocks of README.md and docs/: what they are, and what their commands print now.

    python -m tests.readme

runs them, page after page in one fresh clone, and writes what they print into the pages. test_readme.py
compares instead. Blocks of `console` are run, `$ ` before a command. Blocks that begin with `# <file>`
are written to that file (to the end of MLproject). Blocks of `bash` set a machine up;
test_environments.py runs the first.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT, begin_repository, copy_own_files

README = ROOT / "README.md"
FIRST = ("parameters", "sweeps", "reuse", "own-project")
"""The pages with commands, in the order in which a reader who types them all gets what they show."""
PAGES = [README, *(ROOT / "docs" / f"{name}.md" for name in FIRST)]
PAGES += sorted({*(ROOT / "docs").glob("*.md")} - {*PAGES})
KEPT = {n: v for n, v in os.environ.items() if not n.startswith(("MLFLOW", "GIT_"))}
ENVIRONMENT = {
    **KEPT,
    **{f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{KEPT['PATH']}",
    "LOGNAME": "ann",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
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


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def run_or_written() -> list[Block]:
    """The blocks of all pages that somebody who follows them types, or writes to a file."""
    every = [block for page in PAGES for block in blocks(page)]
    return [block for block in every if block.language == "console" or block.file]


def setup_commands() -> list[str]:
    """The two commands that set a machine up: to run the main job, and to pass the tests."""
    return [block.text.strip() for block in blocks(README) if block.language == "bash"][:2]


def write_file(block: Block, project: Path) -> None:
    """Makes the file that a block shows."""
    file = project / str(block.file)
    file.parent.mkdir(exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.name == "MLproject" else ""
    text = block.text.partition("\n")[2] if before else block.text
    file.write_text(f"{before}\n{text}" if before else text, encoding="utf-8")


@dataclass
class Reader:
    """Somebody who types the commands of the pages, one after the other, in one shell."""

    project: Path
    exported: dict[str, str] = field(default_factory=dict)

    def printed(self, command: str) -> str:
        """What a command prints, both streams, without MLflow's log lines."""
        if match := re.fullmatch(r"export (\w+)=(\S+)", command):
            self.exported[match[1]] = match[2]
            return ""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.project,
            env={**ENVIRONMENT, **self.exported},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = without_log_lines(done.stdout.decode())
        return text.replace(str(self.project), "…").replace(str(self.project.parent), "…")

    def newly_printed(self, block: Block) -> str:
        """A block of commands with what they print now."""
        every = [(command, self.printed(command)) for command, _ in block.commands()]
        return "\n".join(f"$ {command}\n{text}" if text else f"$ {command}" for command, text in every)


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


def main() -> None:
    """Writes what the commands print now into the pages."""
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(fresh_clone(Path(folder)))
        for page in PAGES:
            for block in blocks(page):
                if block.file:
                    write_file(block, reader.project)
                if block.language == "console":
                    before, after = block.text, reader.newly_printed(block).rstrip("\n") + "\n"
                    # Read again: somebody may have written in it meanwhile.
                    text = page.read_text(encoding="utf-8")
                    text = text.replace(f"```console\n{before}```", f"```console\n{after}```", 1)
                    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
