"""The engine as an installer leaves it: the package and what is recorded of where it came from."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, copy_own_files

CHANGES = "# Changelog\n\n## 9.0\n\n- newest\n\n## 8.0\n\n- newer\n\n## 0.1.0\n\n- older\n"


def install(site: Path, version: str, origin: dict[str, Any] | None = None) -> Path:
    """Puts the engine into a folder for packages; `origin` is what PEP 610 records of it."""
    copy_own_files(site, only=("mlflow_workflow/",))
    module = site / "mlflow_workflow/__init__.py"
    current = (ROOT / "mlflow_workflow/__init__.py").read_text()
    module.write_text(current.rpartition("__version__")[0] + f'__version__ = "{version}"\n')
    (site / "mlflow_workflow/CHANGELOG.md").write_text(CHANGES)
    shutil.rmtree(site / "mlflow_workflow.dist-info", ignore_errors=True)
    record = site / f"mlflow_workflow-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: mlflow-workflow\nVersion: {version}\n"
    )
    if origin:
        (record / "direct_url.json").write_text(json.dumps(origin))
    return site
