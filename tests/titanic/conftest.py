"""This project with a store of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project, new_project


@pytest.fixture
def titanic(make_project: Callable[..., Project]) -> Project:
    return make_project("own")


@pytest.fixture(scope="session")
def well_used(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """The Titanic project with three runs of train, the first registered: only to be looked at."""
    project = new_project(tmp_path_factory.mktemp("used") / "project", empty_store, "own")
    first = project.main("predict", "--register", "titanic", "--description", "how *it* <began>")
    assert first.code == 0, first.text
    values = "[RidgeClassifier, LogisticRegression, DummyClassifier]"
    sweep = project.main("train", "--sweep", f"{{train.model: {values}}}", "--register", "titanic")
    assert sweep.code == 0, sweep.text
    return project
