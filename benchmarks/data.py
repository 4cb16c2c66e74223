"""What the steps take for millions of rows, against the same work without this engine."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.process import Comparison, Cost, alternate, run

ROWS = {"train.csv": 5_000_000, "test.csv": 1_000_000}
FEATURES = "Pclass,SibSp,Parch"
MOST_MEMORY = 250
"""MiB that a step may take which works in pieces."""

RUNS = 3
PLAIN = Path(__file__).parent / "plain"


def data_costs(folder: Path, project: Path) -> Iterator[Comparison]:
    """Time and memory of preprocess, train and predict, as ratios and against what is allowed."""
    made, kept = folder / "input", folder / "kept"
    for name, rows in ROWS.items():
        make(made, name, rows)
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'data.db'}", "PYTHONPATH": str(project)}

    def step(name: str, *options: object) -> Callable[[], Cost]:
        words = [sys.executable, "-m", f"steps.{name}", *map(str, options)]
        return lambda: run(words, folder, store)

    def plain(name: str, *options: object) -> Callable[[], Cost]:
        words = [sys.executable, str(PLAIN / f"{name}.py"), *map(str, options)]
        return lambda: run(words, folder, store)

    ours = step("preprocess", "--input", made, "--features", FEATURES)
    yield from compared("preprocess", ours, plain("preprocess", made, kept, FEATURES), pieces=True)

    settings = ["--model", "RidgeClassifier", "--model_params", "{}", "--seed", 0, "--folds", 5]
    ours = step("train", "--preprocess", kept, *settings)
    yield from compared("train", ours, plain("train", kept), pieces=False)

    trained = outputs(folder, "train")
    ours = step("predict", "--preprocess", kept, "--train", trained)
    yield from compared("predict", ours, plain("predict", kept, trained), pieces=True)


def make(folder: Path, name: str, rows: int) -> None:
    """A table as wide as Titanic's, of people that never were."""
    folder.mkdir(exist_ok=True)
    survived = "Survived," if name == "train.csv" else ""
    with (folder / name).open("w") as file:
        file.write(f"PassengerId,{survived}Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked\n")
        for n in range(1, rows + 1):
            outcome = f"{n * 7 % 11 % 2}," if survived else ""
            age = n % 80 or ""
            file.write(
                f'{n},{outcome}{n % 3 + 1},"Doe, Mr. John {n % 999}",male,{age},{n % 5},{n % 4},'
                f"A/5 {n % 10_000},{n % 97 / 4},,S\n"
            )


def compared(
    name: str, ours: Callable[[], Cost], yardstick: Callable[[], Cost], pieces: bool
) -> Iterator[Comparison]:
    """Time as a ratio; memory as one too, or of a step that works in pieces against what it may take."""
    own, other = alternate(ours, yardstick, RUNS)
    yield Comparison(f"{name}, millions of rows", own.seconds, other.seconds, "s", 1.3)
    memory = (MOST_MEMORY, 1.0) if pieces else (other.memory, 1.3)
    yield Comparison(f"{name}, peak memory", own.memory, memory[0], "MiB", memory[1])


def outputs(folder: Path, name: str) -> Path:
    """The outputs that a step left last."""
    found = folder.glob(f"mlruns/*/*/artifacts/{name}")
    return max(found, key=lambda place: place.stat().st_mtime)
