"""The time of a look-up among 100,000 child runs in SQLite, and of finding out why a step runs."""

import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlflow import MlflowClient

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.identity.fingerprint import Identity
from mlflow_workflow.run.explain import Nearest, nearest_run
from mlflow_workflow.server import lookup
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.lookup import Identities, published_tags
from mlflow_workflow.server.store import Store

RUNS = 100_000
FIXED = {
    "name": "train",
    "status": "FINISHED",
    "lifecycle_stage": "active",
    "experiment_id": 0,
    "artifact_uri": "file:///nowhere",
    "user_id": "somebody",
    "source_type": "LOCAL",
    "source_name": "",
    "entry_point_name": "",
}


def lookup_times(runs: int = RUNS) -> dict[str, tuple[float, float]]:
    """What was asked for → median milliseconds, and the most that is allowed."""
    with tempfile.TemporaryDirectory(prefix="lookup-") as folder:
        database = Path(folder, "mlflow.db")
        client = MlflowClient(f"sqlite:///{database}")
        client.search_experiments()
        newest = fill(database, runs)
        store = Store(client, f"sqlite:///{database}", "0", ("0",))
        store.tag_experiment(lookup.recent_key("train"), " ".join(newest))
        return measure(store, runs)


def measure(store: Store, runs: int) -> dict[str, tuple[float, float]]:
    """A hit; a combination of a sweep that is new, and why it runs; a step that has nothing near it."""
    there, new, far = combination(runs // 2), combination(runs - 1, seed=-1), combination(runs)
    assert len(find(store, there)) == 1 and not find(store, new) and not find(store, far)
    assert explain(store, new).differences == ("seed 9 → -1",)
    assert len(explain(store, far).differences) > 1
    among = f"look-up among {runs:,} runs"
    return {
        f"{among}, hit": (milliseconds(lambda: find(store, there)), 20),
        f"{among}, miss": (milliseconds(lambda: find(store, new)), 20),
        f"{among}, miss and why": (milliseconds(lambda: explain(store, new)), 200),
        f"{among}, far from all": (milliseconds(lambda: explain(store, far), 5), 3_000),
    }


def find(store: Store, identities: Identities) -> list[Earlier]:
    """The query that finds what can be reused."""
    return list(lookup.find(store, "train", key_of(identities)).published)


def key_of(identities: Identities) -> str:
    """What a run is found by."""
    return lookup.key_of("commit", identities["commit"])


def explain(store: Store, identities: Identities) -> Nearest:
    """All that a miss asks the server for: is there such a run, and what is near it?"""
    assert not find(store, identities)
    near, recent = partial(lookup.find_near, store, "train"), partial(lookup.find_recent, store, "train")
    nearest = nearest_run("commit", identities, near, recent)
    assert nearest
    return nearest


def milliseconds(work: Callable[[], object], times: int = 20) -> float:
    """The median of several times."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def fill(database: Path, runs: int) -> list[str]:
    """Adds published child runs by SQL; returns the ids of the newest."""
    ids = [uuid.uuid4().hex for _ in range(runs)]
    with closing(sqlite3.connect(database)) as store, store:
        rows = ((run, 1_000 * n, 1_000 * n + 500, *FIXED.values()) for n, run in enumerate(ids))
        columns = ("run_uuid", "start_time", "end_time", *FIXED)
        marks = ", ".join("?" for _ in columns)
        store.executemany(f"insert into runs ({', '.join(columns)}) values ({marks})", rows)
        store.executemany("insert into tags (key, value, run_uuid) values (?, ?, ?)", tags(ids))
        store.executemany("insert into params (key, value, run_uuid) values (?, ?, ?)", parameters(ids))
    return ids[-lookup.RECENT_RUNS :]


def combination(number: int, **changes: int) -> dict[str, Identity]:
    """The identity of a made-up run: a thousand combinations of parameters for every commit."""
    commit = digest(number // 1_000)
    names = ("alpha", "beta", "seed")
    values = {name: number // 10**place % 10 for place, name in enumerate(names)}
    common = Identity(
        step="train",
        command={"command": "python -m steps.train"},
        parameters={**values, "gamma": 0, "folds": 5, **changes},
        code={"steps/train.py": commit, "workflow/step.py": digest("step")},
        data={},
        upstream={"preprocess": commit},
        environment={"python": "3.11", "mlflow": "3", "pandas": "2", "scikit-learn": "1"},
    )
    return {"code": common, "commit": replace(common, code={"commit": commit[:40]})}


def tags(ids: list[str]) -> Iterator[tuple[str, str, str]]:
    """What a published child run bears."""
    for number, run in enumerate(ids):
        made_of = combination(number)
        keys = {lookup.key_of(mode, identity): "train" for mode, identity in made_of.items()}
        for key, value in {**published_tags(made_of, digest(number), None), **keys}.items():
            yield key, value, run
        yield "workflow.published", "train", run
        yield "workflow.step", "train", run
        yield "mlflow.source.git.commit", "0" * 40, run
        yield "mlflow.user", "somebody", run


def parameters(ids: list[str]) -> Iterator[tuple[str, str, str]]:
    """Five parameters a run."""
    for run in ids:
        yield from ((name, "0", run) for name in ("alpha", "beta", "gamma", "seed", "folds"))
