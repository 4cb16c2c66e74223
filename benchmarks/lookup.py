"""The time of one look-up among 100,000 child runs in SQLite."""

import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient

from workflow.store import Store

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


def lookup_times(runs: int = RUNS) -> dict[str, float]:
    """Median milliseconds of a hit and of a miss."""
    with tempfile.TemporaryDirectory(prefix="lookup-") as folder:
        database = Path(folder, "mlflow.db")
        client = MlflowClient(f"sqlite:///{database}")
        client.search_experiments()
        wanted = fill(database, runs)
        store = Store(client, f"sqlite:///{database}", "0", ("0",))
        return {
            f"look-up among {runs:,} runs, hit": milliseconds(store, wanted, found=1),
            f"look-up among {runs:,} runs, miss": milliseconds(store, "0" * 64, found=0),
        }


def milliseconds(store: Store, fingerprint: str, found: int) -> float:
    """The median of 20 look-ups."""
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert len(store.find("train", "commit", fingerprint)) == found
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def fill(database: Path, runs: int) -> str:
    """Adds published child runs by SQL; returns the fingerprint of one in the middle."""
    ids = [uuid.uuid4().hex for _ in range(runs)]
    with closing(sqlite3.connect(database)) as store, store:
        rows = ((run, 1_000 * n, 1_000 * n + 500, *FIXED.values()) for n, run in enumerate(ids))
        columns = ("run_uuid", "start_time", "end_time", *FIXED)
        marks = ", ".join("?" for _ in columns)
        store.executemany(f"insert into runs ({', '.join(columns)}) values ({marks})", rows)
        store.executemany("insert into tags (key, value, run_uuid) values (?, ?, ?)", tags(ids))
        store.executemany("insert into params (key, value, run_uuid) values (?, ?, ?)", parameters(ids))
    return fingerprint_of(ids[runs // 2])


def fingerprint_of(run: str) -> str:
    """A made-up fingerprint, one a run."""
    return run * 2


def tags(ids: list[str]) -> Iterator[tuple[str, str, str]]:
    """What a published child run bears, as far as look-ups meet it."""
    for run in ids:
        for mode in ("commit", "code"):
            yield f"fingerprint.{mode}.{fingerprint_of(run)}", "train", run
        yield "workflow.published", "train", run
        yield "workflow.step", "train", run
        yield "mlflow.source.git.commit", "0" * 40, run
        yield "mlflow.user", "somebody", run


def parameters(ids: list[str]) -> Iterator[tuple[str, str, str]]:
    """Five parameters a run."""
    for run in ids:
        yield from ((name, "0", run) for name in ("alpha", "beta", "gamma", "seed", "folds"))
