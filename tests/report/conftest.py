"""A project whose steps make and use a model, and have been run."""

from pathlib import Path

import pytest

from tests.conftest import Project, new_project


@pytest.fixture(scope="session")
def well_used(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """Three runs of train, the first registered: only to be looked at."""
    project = new_project(tmp_path_factory.mktemp("used") / "project", empty_store, "models")
    first = project.main("predict", "--register", "labels", "--description", "how *it* <began>")
    assert first.code == 0, first.text
    values = "[RidgeClassifier, LogisticRegression, DummyClassifier]"
    sweep = project.main("train", "--sweep", f"{{train.model: {values}}}", "--register", "labels")
    assert sweep.code == 0, sweep.text
    return project
