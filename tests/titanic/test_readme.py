"""What README and docs show is what happens: every command in order in a fresh clone, tables, links."""

import re
from pathlib import Path

import pytest

from mlflow_workflow.checks.contract import mistakes
from mlflow_workflow.project.mlproject import ENTRY_KEYS, read_workflow
from tests import readme
from tests.conftest import ROOT

SHOWN = readme.run_or_written()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> readme.Reader:
    return readme.Reader(readme.fresh_clone(tmp_path_factory.mktemp("reader")))


@pytest.mark.slow
@pytest.mark.parametrize("block", SHOWN, ids=[b.file or b.text.splitlines()[0] for b in SHOWN])
def test_a_block_prints_what_is_shown(reader: readme.Reader, block: readme.Block) -> None:
    if block.file:
        readme.write_file(block, reader.project)
        return
    for command, shown in block.commands():
        assert readme.alike(reader.printed(command)) == readme.alike(shown), command


def test_the_step_that_the_readme_adds_keeps_the_contract(tmp_path: Path) -> None:
    for name in (
        "MLproject",
        "python_env.yaml",
        *(f"steps/{file.name}" for file in (ROOT / "steps").glob("*.py")),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    added = [
        block
        for block in SHOWN
        if (block.file and "MLproject" in block.file) or "steps/" in str(block.file)
    ]
    assert len(added) == 2
    for block in added:
        readme.write_file(block, tmp_path)
    assert mistakes(tmp_path) == []


def test_the_table_of_steps_is_that_of_mlproject() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    section = text.partition("## Parameters of the steps")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    steps = read_workflow((ROOT / "MLproject").read_text(encoding="utf-8")).steps
    assert {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows.items()} == {
        name: set(step.parameters) for name, step in steps.items()
    }


@pytest.mark.parametrize("page", readme.PAGES, ids=[page.name for page in readme.PAGES])
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_leads_to_every_page_and_is_short() -> None:
    text = readme.README.read_text(encoding="utf-8")
    for page in readme.PAGES[1:]:
        assert f"(docs/{page.name})" in text
    assert len(text.split()) <= 1_500


def test_the_readmes_map_has_every_room_of_the_engine() -> None:
    tree = readme.README.read_text(encoding="utf-8").partition("## The files")[2].partition("\n## ")[0]
    shown = set(re.findall(r"^  (\w+)/ ", tree, re.MULTILINE))
    assert shown == {file.parent.name for file in (ROOT / "mlflow_workflow").glob("*/__init__.py")}


def test_all_that_an_entry_may_say_is_explained() -> None:
    text = (ROOT / "docs" / "own-project.md").read_text(encoding="utf-8")
    section = text.partition("## What an entry may also say")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert {*rows, "parameters", "command"} == set(ENTRY_KEYS)


def test_ci_runs_the_readmes_own_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script
    assert len(readme.setup_commands()) == 2
    assert readme.setup_commands()[1].rstrip().endswith("pytest")
