"""What main's own parameters do is said once, and the documentation says the same."""

import re

from mlflow_workflow.project.mlproject import open_workflow
from mlflow_workflow.project.settings import SETTINGS
from tests.conftest import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (?:`([^`]*)`|) *\| (.*?) \|$", re.MULTILINE)


def test_every_parameter_of_main_is_explained() -> None:
    assert set(open_workflow(ROOT).main.parameters) == set(SETTINGS)


def test_the_table_in_the_documentation_is_that_of_the_program() -> None:
    files = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    found = [row for file in files for row in ROW.findall(file.read_text(encoding="utf-8"))]
    rows = [row for row in found if row[0] in SETTINGS]
    main = open_workflow(ROOT).main.parameters
    assert {name: default for name, default, _ in rows} == {n: p.default for n, p in main.items()}
    said = {name: words.replace("`", "") for name, _, words in rows}
    assert said == {name: setting.help for name, setting in SETTINGS.items()}
