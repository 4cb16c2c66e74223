"""What the processes of a step are seen to use, and when a record of it no longer holds."""

import contextlib
import os
import py_compile
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from dataclasses import replace
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from mlflow_workflow.identity.disk import Disk
from mlflow_workflow.identity.holds import of_modules
from mlflow_workflow.identity.packages import installed
from mlflow_workflow.identity.record import from_json, to_json
from tests.identity.seen import Seen, commit, new_seen, step_of


@pytest.fixture
def made(tmp_path: Path) -> Seen:
    return new_seen(tmp_path / "project", {"settings.txt": "1", "other.txt": "1", "folder/a.txt": "1"})


# -- files that are read

WORKER = """
import multiprocessing

def work(_):
    return open("settings.txt").read()

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(work, [1])
"""

READS = {
    "open": "open('settings.txt').read()",
    "pathlib": "import pathlib; pathlib.Path('settings.txt').read_text()",
    "a path from the root": "import os; open(os.path.abspath('settings.txt')).read()",
    "a crooked path": "open('folder/../settings.txt').read()",
    "another working directory": "import os; os.chdir('folder'); open('../settings.txt').read()",
    "os.open": "import os; os.read(os.open('settings.txt', os.O_RDONLY), 9)",
    "to be changed": "open('settings.txt', 'r+').read()",
    "pandas": "import pandas; pandas.read_csv('settings.txt')",
    "pyarrow's own reader": (
        "from pyarrow import csv\ntry: csv.read_csv('settings.txt')\nexcept ValueError: pass  # no table"
    ),
    "numpy.memmap": "import numpy; numpy.memmap('settings.txt', mode='r')",
    "a thread": (
        "import threading; t = threading.Thread(target=open, args=['settings.txt'])\nt.start(); t.join()"
    ),
    "a forked process": "import os\nif not os.fork(): open('settings.txt'); os._exit(0)\nos.wait()",
    "a Python that it starts": (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'open(\"settings.txt\")'], check=True)"
    ),
    "a worker that it spawns": WORKER,
    "a process that ends at once": "import os; open('settings.txt'); os._exit(0)",
    "what closes all that is open": "import os; os.closerange(3, 256); open('settings.txt').read()",
}


@pytest.mark.parametrize("how", READS)
def test_a_file_is_seen_however_python_reads_it(made: Seen, how: str) -> None:
    record = made.seen(READS[how])
    assert "settings.txt" in record.files and "other.txt" not in record.files
    made.put("settings.txt", "2")
    assert made.broken(record) == "settings.txt, which it read, changed"
    made.put("other.txt", "2")
    made.put("settings.txt", "1")
    assert made.broken(record) is None


def test_a_file_that_was_looked_for_in_vain_counts_once_it_is_there(made: Seen) -> None:
    record = made.seen("try: open('local.txt')\nexcept OSError: pass")
    assert record.files["local.txt"] == "absent"
    made.put("local.txt", "")
    assert made.broken(record) == "local.txt, which it looked for, is new"


ASKS = ("os.path.exists('{}')", "__import__('pathlib').Path('{}').is_file()")


@pytest.mark.parametrize("asks", ASKS)
def test_that_something_is_there_or_not_counts_where_it_is_asked(made: Seen, asks: str) -> None:
    record = made.seen(f"import os; {asks.format('folder')}; {asks.format('no/local.txt')}")
    assert (record.files["folder"], record.files["no/local.txt"]) == ("there", "absent")
    made.put("folder/a.txt", "2")
    assert made.broken(record) is None
    made.put("no/local.txt", "")
    assert made.broken(record) == "no/local.txt, which it looked for, is new"
    (made.folder / "no" / "local.txt").unlink()
    (made.folder / "folder").rename(made.folder / "moved")
    assert made.broken(record) == "folder, which it read, is gone"


def test_a_folder_that_is_there_already_is_not_of_the_steps_making(made: Seen) -> None:
    record = made.seen("import os; os.makedirs('folder', exist_ok=True); open('folder/a.txt')")
    assert "folder/a.txt" in record.files


def test_a_file_that_is_gone_is_told(made: Seen) -> None:
    record = made.seen("open('settings.txt')")
    (made.folder / "settings.txt").unlink()
    assert made.broken(record) == "settings.txt, which it read, is gone"


def test_a_folder_counts_by_the_names_in_it_once_it_is_listed(made: Seen) -> None:
    record = made.seen("import pathlib; list(pathlib.Path('folder').iterdir())")
    assert "folder/a.txt" not in record.files
    made.put("folder/a.txt", "2")
    assert made.broken(record) is None
    made.put("folder/b.txt", "")
    assert made.broken(record) == "the names in folder, which it listed, changed"


def test_what_a_step_makes_itself_is_not_what_it_read(made: Seen) -> None:
    code = (
        "import os\nopen('folder/new.txt', 'w').write('x')\nopen('folder/new.txt').read()\n"
        "os.rename('folder/new.txt', 'folder/moved.txt')\nopen('folder/moved.txt').read()\n"
        "os.listdir('folder')"
    )
    record = made.seen(code)
    assert set(record.files) == {"steps/step.py"}
    assert made.seen(code) == record


def test_links_count_by_where_they_lead(made: Seen) -> None:
    (made.folder / "link").symlink_to("folder")
    record = made.seen("open('link/a.txt').read()")
    made.put("elsewhere/a.txt", "2")
    (made.folder / "link").unlink()
    (made.folder / "link").symlink_to("elsewhere")
    assert made.broken(record) == "link/a.txt, which it read, changed"


def test_data_outputs_stores_and_git_are_left_out(made: Seen) -> None:
    names = ("folder/a.txt", "m.db", "m.db-wal", ".git/HEAD")
    code = f"import os; [open(name) for name in {names}]; os.listdir('.')"
    for name in ("m.db", "m.db-wal"):
        made.put(name, "1")
    made.write(steps__step_py=code)
    store = [made.folder / "m.db"]
    record, _ = made.run(left_out=[made.folder / "folder"], store=store)
    assert set(record.files) == {"steps/step.py"}
    (made.folder / "m.db-wal").unlink()
    made.put("m.db-shm", "")
    assert made.read(*store).broken(record) is None


def test_what_changes_between_its_reading_and_the_end_is_told(made: Seen) -> None:
    edit = "import os; open('settings.txt').read(); open('settings.txt', 'a').write('2')"
    made.write(steps__step_py=edit)
    assert made.run()[1] == ["settings.txt"]
    kept = (
        "import os; open('settings.txt').read(); s = os.stat('settings.txt')\n"
        "open('settings.txt', 'r+').write('9')\n"
        "os.utime('settings.txt', ns=(s.st_atime_ns, s.st_mtime_ns))"
    )
    made.write(steps__step_py=kept)
    assert made.run()[1] == ["settings.txt"]


def test_a_record_is_the_same_as_text_and_back(made: Seen) -> None:
    record = made.seen("import yaml, os; open('settings.txt'); os.listdir('folder')")
    assert from_json(to_json(record)) == record
    assert from_json(to_json(record)).digest == record.digest
    with pytest.raises(ValueError, match="no record that this version knows"):
        from_json('{"format": 99}')


# -- modules


def test_modules_are_seen_by_whatever_way_they_are_loaded(made: Seen) -> None:
    code = "import importlib\nimportlib.import_module('lib.' + 'helper')\nexec('import second')"
    made.put("lib/helper.py", "")
    record = made.seen(code, second_py="")
    read = {name for name, state in record.files.items() if state != "absent"}
    assert read == {"steps/step.py", "lib/helper.py", "second.py"}


def test_the_class_of_a_pickle_is_seen(made: Seen, tmp_path: Path) -> None:
    made.put("lib/shape.py", "class Shape: side = 1")
    pickled = tmp_path / "shape.pickle"
    made.seen(f"import pickle, lib.shape; pickle.dump(lib.shape.Shape(), open({str(pickled)!r}, 'wb'))")
    record = made.seen(f"import pickle; pickle.load(open({str(pickled)!r}, 'rb'))")
    made.put("lib/shape.py", "class Shape: side = 2")
    assert made.broken(record) == "lib/shape.py, which it read, changed"


def test_bytecode_without_its_source_is_seen(made: Seen, tmp_path: Path) -> None:
    def build(text: str) -> None:
        (tmp_path / "bare.py").write_text(text)
        py_compile.compile(str(tmp_path / "bare.py"), str(made.folder / "bare.pyc"))

    build("X = 1")
    record = made.seen("import bare")
    build("X = 2")
    assert made.broken(record) == "bare.pyc, which it read, changed"


def test_a_compiled_extension_is_seen(made: Seen) -> None:
    original = Path(sysconfig.get_path("stdlib"), "lib-dynload")
    library = next(original.glob("_heapq*.so"), None)
    assert library, "this Python has its extensions built in"
    shutil.copy(library, made.folder / library.name)
    record = made.seen(
        "import sys; sys.path.insert(0, '.'); import _heapq; assert '/project/' in _heapq.__file__"
    )
    with (made.folder / library.name).open("ab") as file:
        file.write(b"\0")
    assert made.broken(record) == f"{library.name}, which it read, changed"


@pytest.mark.parametrize("place", ["lib", "outside"])
def test_modules_on_pythonpath_outside_of_the_project_are_seen(tmp_path: Path, place: str) -> None:
    inner = new_seen(tmp_path / "whole")
    inner.folder = tmp_path / "whole" / "inner"
    shutil.copytree(tmp_path / "whole" / "steps", inner.folder / "steps")
    shutil.copy(tmp_path / "whole" / "MLproject", inner.folder)
    outside = tmp_path / ("whole/lib" if place == "lib" else "outside")
    outside.mkdir()
    (outside / "helper.py").write_text("X = 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(outside))
        record = inner.seen("import helper")
    (outside / "helper.py").write_text("X = 2")
    name = "../lib/helper.py" if place == "lib" else str(outside / "helper.py")
    assert inner.broken(record) == f"{name}, which it read, changed"


def test_a_new_file_that_hides_a_module_breaks_a_record(made: Seen) -> None:
    record = made.seen("import json")
    made.put("unheard_of.py", "")
    assert made.broken(record) is None
    made.put("json.py", "")
    assert made.broken(record) == "json in . is new and hides a module that it may import"


def test_a_module_that_was_not_there_breaks_a_record_when_it_is(made: Seen) -> None:
    record = made.seen("try:\n    from steps import local\nexcept ImportError: pass")
    made.put("steps/local.py", "")
    assert made.broken(record) == "steps/local.py, which it looked for, is new"


FIND = """
import importlib
try: importlib.import_module("plug_" + "in")
except ImportError: pass
"""
HIDING = {
    "a plug-in that was not there": (FIND, "plug_in.py"),
    "one that was asked for": ("import importlib.util as u; u.find_spec('plug_' + 'in')", "plug_in.py"),
    "a package that hides a module": ("import second", "second/__init__.py"),
    "a compiled module that hides one": ("import second", f"second{EXTENSION_SUFFIXES[0]}"),
    "a package that gets a beginning": (
        "import importlib as i; i.import_module('lib.second')",
        "lib/__init__.py",
    ),
}


@pytest.mark.parametrize("what", HIDING)
def test_what_would_be_loaded_instead_breaks_a_record(made: Seen, what: str) -> None:
    code, name = HIDING[what]
    made.put("lib/second.py", "")
    record = made.seen(code, second_py="")
    assert made.broken(record) is None
    made.put(name, "")
    assert made.broken(record) == f"{name}, which it looked for, is new"


def test_a_package_that_was_not_installed_breaks_a_record_when_it_is(made: Seen) -> None:
    record = made.seen("try: import hardly_any_such_thing\nexcept ImportError: pass")
    assert record.sought == ("hardly_any_such_thing",)
    packages = replace(installed(), modules=frozenset({"hardly_any_such_thing"}))
    said = next(of_modules(record, Disk(made.folder), packages))
    assert said == "module hardly_any_such_thing, which it looked for, is installed now"


def test_a_rename_that_fails_makes_nothing(made: Seen) -> None:
    tries = "import os\ntry: os.replace('incoming.txt', 'settings.txt')\nexcept OSError: pass\n"
    record = made.seen(f"{tries}open('settings.txt')")
    made.put("settings.txt", "2")
    assert made.broken(record) == "settings.txt, which it read, changed"


def test_what_others_put_into_a_folder_that_a_step_made_counts(made: Seen) -> None:
    record = made.seen("import os; os.mkdir('kept'); os.path.exists('kept/override.txt')")
    made.put("kept/override.txt", "")
    assert made.broken(record) == "kept/override.txt, which it looked for, is new"


def test_a_database_is_seen_by_its_uri_and_with_what_is_not_yet_in_it(made: Seen) -> None:
    with contextlib.closing(sqlite3.connect(made.folder / "ref.db")) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("create table t (v)")
        writer.commit()
        record = made.seen("import sqlite3; sqlite3.connect('file:ref.db?mode=ro', uri=True)")
        assert {"ref.db", "ref.db-wal"} <= set(record.files)
        writer.execute("insert into t values (1)")
        writer.commit()
        assert made.broken(record) == "ref.db-wal, which it read, changed"


def test_os_access_asks_as_well(made: Seen) -> None:
    record = made.seen("import os; os.access('flag.txt', os.R_OK)")
    made.put("flag.txt", "")
    assert made.broken(record) == "flag.txt, which it looked for, is new"


def test_an_edit_that_keeps_size_and_time_runs_the_new_code(made: Seen) -> None:
    """Python by itself would run the old one, from its cache."""
    made.write(steps__step_py="import helper", helper_py="open('settings.txt')\n")
    subprocess.run([sys.executable, "-m", "steps.step"], cwd=made.folder, check=True)
    before = (made.folder / "helper.py").stat()
    made.put("helper.py", "open('other.txt')   \n")
    os.utime(made.folder / "helper.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (made.folder / "helper.py").stat().st_size == before.st_size
    record, _ = made.run()
    assert "other.txt" in record.files and "settings.txt" not in record.files


# -- packages


def test_packages_count_by_version_also_those_that_others_load(made: Seen) -> None:
    record = made.seen("import sklearn.linear_model")
    assert {"scikit-learn", "scipy", "numpy"} <= set(record.packages)
    assert "mlflow" not in record.packages
    other = made.read()
    other.packages.versions["scipy"] = "9.9"
    try:
        now = record.packages["scipy"]
        assert other.broken(record) == f"package scipy {now} → 9.9, which it loaded"
    finally:
        del other.packages.versions["scipy"]


# -- programs that are not Python

PROGRAMS = {
    "a thread of a pool": (
        "import subprocess\nfrom concurrent.futures import ThreadPoolExecutor as Pool\n"
        "with Pool() as pool: pool.submit(subprocess.check_output, ['true']).result()"
    ),
    "subprocess": "import subprocess; subprocess.run(['cat', 'settings.txt'], check=True)",
    "a shell": "import subprocess; subprocess.run('cat settings.txt', shell=True)",
    "os.system": "import os; os.system('cat settings.txt')",
    "a Python that passes over us": (
        "import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', 'open(\"settings.txt\")'])"
    ),
    "a Python without our variables": (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'open(\"settings.txt\")'], env={})"
    ),
    "a Python with another path": (
        "import os, subprocess, sys; os.environ['PYTHONPATH'] = 'lib'\n"
        "subprocess.run([sys.executable, '-c', 'open(\"settings.txt\")'])"
    ),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_where_programs_run_that_cannot_be_seen_every_file_counts(made: Seen, how: str) -> None:
    record = made.seen(PROGRAMS[how])
    made.put("settings.txt", "2")
    assert "and all count because it ran" in str(made.broken(record))
    commit(made)
    assert made.broken(record)
    made.put("settings.txt", "1")
    assert made.broken(record) is None


def test_programs_that_packages_run_for_themselves_do_not_count(made: Seen) -> None:
    assert made.seen("import ctypes.util, git\ngit.Git().version_info").whole is None
    asks_git = "from mlflow.utils.git_utils import get_git_commit; get_git_commit(__file__)"
    assert made.seen(asks_git).programs == ()


def test_with_sources_programs_count_by_these(made: Seen) -> None:
    """As they were at the end: what was there before is in the key."""
    made.write(steps__step_py=PROGRAMS["subprocess"])
    record, _ = made.run(step=step_of("python -m steps.step", sources=["settings.txt"]))
    assert record.whole is None
    made.put("other.txt", "2")
    assert made.broken(record) is None
    made.put("settings.txt", "2")
    assert made.broken(record) == "settings.txt, which it read, changed"


def test_a_step_that_is_not_python_counts_every_file_as_it_was_at_the_end(made: Seen) -> None:
    record, _ = made.run("sh", "-c", "true", step=step_of("cat settings.txt"))
    assert made.broken(record) is None
    made.put("settings.txt", "2")
    assert (
        made.broken(record)
        == "a file of the project changed, and all count because it ran cat settings.txt"
    )


def test_a_step_whose_python_left_no_notes_counts_every_file(made: Seen) -> None:
    record, _ = made.run(sys.executable, "-S", "-m", "steps.step")
    assert record.whole


# -- what a step notices of it


def test_a_step_notices_nothing(made: Seen, tmp_path: Path) -> None:
    """The path of modules, and a `sitecustomize` of one's own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sitecustomize.py").write_text("import os; os.environ['MINE'] = '1'")
    show = "sys.path, os.environ.get('MINE'), sys.modules['sitecustomize'].__file__"
    code = f"import os, sys\nprint({show}, file=open({str(tmp_path / 'seen')!r}, 'w'))"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path / "mine"))
        made.write(steps__step_py=code)
        made.run()
        seen = (tmp_path / "seen").read_text()
        subprocess.run([sys.executable, "-m", "steps.step"], cwd=made.folder, check=True)
    assert seen == (tmp_path / "seen").read_text()
