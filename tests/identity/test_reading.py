"""The key of an execution, read once for a whole plan: what counts for it and what does not."""

import mmap
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_workflow.identity import git as git_module
from mlflow_workflow.identity.data import SMALL
from mlflow_workflow.identity.fingerprint import Identity, fingerprint
from mlflow_workflow.identity.reading import Reading, read
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.named_data import data_texts
from mlflow_workflow.project.parameters import step_values
from tests.conftest import begin_repository, git
from tests.identity.seen import Seen, commit, new_seen

MLPROJECT = """
entry_points:
  main: {command: "true"}
  step:
    command: "python -m steps.step --where {where}"
    parameters: {where: {type: string, default: nothing}, folder: {type: path, default: folder},
                 options: {type: yaml, default: "{}"}}
  other: {command: "python -m steps.other"}
  shell: {command: "sh tools/run.sh && python -m steps.step"}
  listed: {command: "sh tools/run.sh", sources: ["tools/**/*.sh"]}
  scaled: {command: "python -m steps.other --by $SCALE", env: [MODE]}
"""


@pytest.fixture
def made(tmp_path: Path) -> Seen:
    files = {
        "MLproject": MLPROJECT,
        "steps/step.py": "import helper",
        "steps/other.py": "",
        "helper.py": "",
        "settings.txt": "1",
        "tools/run.sh": "cat settings.txt",
        "folder/a.txt": "1",
        "folder/b.txt": "1",
    }
    return new_seen(tmp_path / "project", files)


def reading_of(made: Seen, **values: str) -> Reading:
    workflow = read_workflow((made.folder / "MLproject").read_text())
    texts = data_texts(workflow, [step_values(workflow, values, [])])
    return read(made.folder, workflow, texts, (), {})


def identities(around: Reading, step: str = "step", **values: str) -> dict[str, Identity]:
    all_values = step_values(around.workflow, values, [])
    return around.identify(around.workflow.steps[step], all_values[step], {})


def keys(made: Seen, step: str = "step", **values: str) -> tuple[str, str]:
    """The fingerprints with match=commit and with match=code, as things are now."""
    found = identities(reading_of(made, **values), step, **values)
    return fingerprint(found["commit"]), fingerprint(found["code"])


# -- code

EDITS: dict[str, tuple[str, set[str]]] = {
    "its script": ("steps/step.py", {"step", "shell"}),
    "a module that it imports": ("helper.py", {"step", "shell"}),
    "a file that nobody is known to read": ("settings.txt", {"shell"}),
    "another step": ("steps/other.py", {"other", "shell", "scaled"}),
    "a script of the shell": ("tools/run.sh", {"shell", "listed"}),
    "a new file": ("README.md", {"shell"}),
}
STEPS = ("step", "other", "shell", "listed", "scaled")


@pytest.mark.parametrize("what", EDITS)
def test_an_uncommitted_change_counts_for_the_steps_that_are_made_of_it(made: Seen, what: str) -> None:
    name, concerned = EDITS[what]
    before = {step: keys(made, step) for step in STEPS}
    with (made.folder / name).open("a") as file:
        file.write("\n# edited\n")
    after = {step: keys(made, step) for step in STEPS}
    for mode in (0, 1):
        assert {step for step in STEPS if before[step][mode] != after[step][mode]} == concerned
    git(made.folder, "stash", "--quiet", "--include-untracked")
    assert {step: keys(made, step) for step in STEPS} == before


def test_an_edit_of_mlproject_counts_for_the_entries_that_it_changes(made: Seen) -> None:
    before = {step: keys(made, step) for step in STEPS}
    text = MLPROJECT.replace(
        'step: {command: "python -m steps.other', 'step: {command: "python -m steps.step'
    )
    changed = text.replace("  other: {", "  other: {timeout: 9, retries: 2, ").replace(
        "env: [MODE]", "env: []"
    )
    made.put("MLproject", changed)
    after = {step: keys(made, step) for step in STEPS}
    assert {step for step in STEPS if before[step][1] != after[step][1]} == {"scaled", "shell"}


def test_a_commit_counts_with_match_commit_and_not_with_match_code(made: Seen) -> None:
    before = keys(made)
    commit(made)
    after = keys(made)
    assert before[0] != after[0] and before[1] == after[1]


def test_committing_exactly_what_is_there_gives_its_tree(made: Seen) -> None:
    clean = reading_of(made)
    assert clean.tree == clean.head_tree
    made.put("settings.txt", "2")
    made.put("new file.txt", "2")
    (made.folder / "helper.py").unlink()
    dirty = reading_of(made)
    before = git(made.folder, "status", "--porcelain"), git(made.folder, "count-objects")
    assert dirty.tree != dirty.head_tree == clean.head_tree
    assert (git(made.folder, "status", "--porcelain"), git(made.folder, "count-objects")) == before
    commit(made)
    assert reading_of(made).head_tree == dirty.tree


def test_what_a_step_that_cannot_be_seen_counts_is_told(made: Seen) -> None:
    around = reading_of(made)
    told = around.blind(around.workflow.steps.values())
    assert [line.partition(":")[0] for line in told] == ["shell"]
    assert "list its files as 'sources:' in MLproject" in told[0]


def test_for_a_step_that_cannot_be_seen_ignored_files_count_and_by_products_do_not(made: Seen) -> None:
    made.put(".gitignore", "local.txt\n__pycache__/\nstore.db\n")
    commit(made)
    before = keys(made, "shell")
    made.put("__pycache__/x.pyc", "")
    made.put(".venv/pyvenv.cfg", "")
    assert keys(made, "shell") == before
    made.put("local.txt", "")
    assert not set(keys(made, "shell")) & set(before)


def test_sources_are_followed_through_links(made: Seen, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "more.sh").write_text("1")
    (made.folder / "tools" / "link").symlink_to(tmp_path / "elsewhere")
    before = keys(made, "listed")
    (tmp_path / "elsewhere" / "deep" / "more.sh").write_text("2")
    assert keys(made, "listed")[1] != before[1]


def by_setting(name: str, value: str) -> Callable[[Path], None]:
    return lambda folder: void(git(folder, "config", name, value))


def void(_: object) -> None:
    return None


HIDING: dict[str, Callable[[Path], None]] = {
    "assume-unchanged": lambda p: void(git(p, "update-index", "--assume-unchanged", "helper.py")),
    "skip-worktree": lambda p: void(git(p, "update-index", "--skip-worktree", "helper.py")),
    "core.trustctime": by_setting("core.trustctime", "false"),
    "core.checkStat": by_setting("core.checkStat", "minimal"),
    "core.ignoreStat": by_setting("core.ignoreStat", "true"),
    "core.fsmonitor": by_setting("core.fsmonitor", "true"),
}


@pytest.mark.parametrize("how", HIDING)
def test_git_hides_no_edit_that_keeps_size_and_time(made: Seen, how: str) -> None:
    made.put("helper.py", "X = 1\n")
    commit(made)
    HIDING[how](made.folder)
    before, was = keys(made), (made.folder / "helper.py").stat()
    made.put("helper.py", "X = 2\n")
    os.utime(made.folder / "helper.py", ns=(was.st_atime_ns, was.st_mtime_ns))
    around = reading_of(made)
    assert list(around.code.changes) == ["helper.py"]
    assert not set(keys(made)) & set(before)
    assert around.tree != around.head_tree


def test_a_filter_of_git_hides_no_edit_from_the_record(made: Seen) -> None:
    made.put(".gitattributes", "settings.txt filter=same\n")
    git(made.folder, "config", "filter.same.clean", "printf 1")
    made.put("steps/other.py", "open('settings.txt').read()")
    commit(made)
    before = keys(made, "other")
    record, _ = made.run("python", "-m", "steps.other", step=reading_of(made).workflow.steps["other"])
    made.put("settings.txt", "2")
    assert keys(made, "other") == before
    assert reading_of(made).broken(record) == "settings.txt, which it read, changed"


def test_without_git_the_files_of_the_step_are_its_code(made: Seen) -> None:
    with_git = keys(made)
    shutil.rmtree(made.folder / ".git")
    before = keys(made)
    assert before[0] == before[1] == with_git[1]
    made.put("README.md", "")
    assert keys(made) == before
    made.put("helper.py", "X = 1")
    assert not set(keys(made)) & set(before)


def test_with_match_code_a_clone_and_a_subfolder_are_the_same(made: Seen, tmp_path: Path) -> None:
    before = keys(made)
    commit(made)
    git(tmp_path, "clone", "--quiet", "--depth", "1", made.folder.as_uri(), str(tmp_path / "clone"))
    assert keys(Seen(tmp_path / "clone"))[1] == before[1]
    shutil.copytree(made.folder, tmp_path / "whole" / "inside", ignore=shutil.ignore_patterns(".git"))
    begin_repository(tmp_path / "whole")
    assert keys(Seen(tmp_path / "whole" / "inside"))[1] == before[1]


def test_an_uncommitted_file_in_a_submodule_or_behind_a_link_counts(made: Seen, tmp_path: Path) -> None:
    inside = made.folder / "inside"
    inside.mkdir()
    (inside / "told.py").write_text("")
    begin_repository(inside)
    made.put("steps/step.py", "from inside import told")
    before = keys(made)
    (inside / "told.py").write_text("X = 1")
    assert not set(keys(made)) & set(before)


# -- environment variables


def test_variables_count_that_the_command_expands_or_the_entry_names(
    made: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {keys(made, "scaled")}
    for name, value in (("SCALE", "1"), ("SCALE", "secret"), ("MODE", "x"), ("MODE", "")):
        monkeypatch.setenv(name, value)
        seen.add(keys(made, "scaled"))
    assert len(seen) == 5
    assert "secret" not in str(identities(reading_of(made), "scaled"))
    monkeypatch.setenv("UNHEARD_OF", "1")
    assert keys(made, "scaled") in seen


# -- data and values


def test_a_text_that_names_data_counts_as_text_too(made: Seen) -> None:
    shutil.copytree(made.folder / "folder", made.folder / "copy")
    assert keys(made, where="folder") != keys(made, where="copy")
    assert keys(made, folder="folder") == keys(made, folder="copy")


@pytest.mark.parametrize(
    "where",
    ["folder/a.txt", "folder/*.txt", "folder/b.txt, folder/a.txt", "**/a.txt", "~/a.txt", "fold?r"],
)
def test_all_that_a_text_names_counts(made: Seen, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(made.folder / "folder"))
    before = keys(made, where=where)
    made.put("folder/a.txt", "2")
    assert not set(keys(made, where=where)) & set(before)


@pytest.mark.parametrize("where", ["*", ".*", "**", ",", "a,b", "settings", "-", "~", "../*"])
def test_a_text_that_is_no_name_is_just_a_text(made: Seen, where: str) -> None:
    around = reading_of(made, where=where)
    assert around.named(around.workflow.steps["step"], {"where": where}) == {}


UNEQUAL = [
    "{1: a}",
    "{'1': a}",
    "{'int 1': a}",
    "{1.0: a}",
    "{true: a}",
    "2020-01-01",
    "'2020-01-01'",
    ".inf",
]
UNEQUAL += ["'.inf'", "{'!date': '2020-01-01'}", "[1, 2]", "{!!str 1: a, 2: b}", "{'!map': [[1, a]]}"]


def test_unequal_values_stay_unequal(made: Seen) -> None:
    assert len({keys(made, options=text) for text in UNEQUAL}) == len(UNEQUAL)
    assert keys(made, options="{2: b, 1: a}") == keys(made, options="{1: a, 2: b}")


def test_a_large_file_that_is_changed_through_a_mapping_counts(made: Seen, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(SMALL + 1))
    with large.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = 1
        time.sleep(2.2)  # from now on its digest is remembered
        before = keys(made, folder=str(large))
        assert keys(made, folder=str(large)) == before
        mapped[0] = 2
        assert not set(keys(made, folder=str(large))) & set(before)


# -- what a reading costs


def test_a_plan_asks_git_a_few_times_and_reads_a_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps there are."""
    entries = "\n".join(f"  s{i}: {{command: python -m steps.s{i}}}" for i in range(60))
    made = Seen(tmp_path / "project")
    made.put("MLproject", f"entry_points:\n  main: {{command: 'true'}}\n{entries}\n")
    for number in range(60):
        made.put(f"steps/s{number}.py", "import shared")
    made.put("shared.py", "")
    begin_repository(made.folder)
    asked: list[str] = []
    reads: list[str] = []
    run, open_file = git_module.subprocess.run, Path.open
    monkeypatch.setattr(
        git_module.subprocess, "run", lambda c, **o: (asked.append(str(c)), run(c, **o))[1]
    )

    def counting(path: Path, *arguments: object, **options: object) -> object:
        reads.append(str(path))
        return open_file(path, *arguments, **options)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(Path, "open", counting)
    around = reading_of(made)
    for step in around.workflow.steps:
        identities(around, step)
    assert len(asked) <= 6
    assert sum(path.endswith("shared.py") for path in reads) <= 2  # its digest and its imports
    asked.clear()
    around = around.again()
    for step in around.workflow.steps:
        identities(around, step)
    assert len(asked) <= 2


def test_an_edit_that_keeps_size_and_time_is_seen_by_the_next_reading(made: Seen) -> None:
    made.put("helper.py", "X = 1")
    time.sleep(2.2)  # from now on its digest is remembered
    around = reading_of(made)
    before, was = identities(around), (made.folder / "helper.py").stat()
    made.put("helper.py", "X = 2")
    os.utime(made.folder / "helper.py", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert identities(around.again()) != before


def test_an_edit_between_two_readings_is_seen_by_the_second(made: Seen) -> None:
    around = reading_of(made)
    before = identities(around)
    made.put("helper.py", "X = 1")
    assert identities(around) == before
    assert identities(around.again()) != before
    made.put("helper.py", "X = 2")
    assert identities(around.again().again()) != before
