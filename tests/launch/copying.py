"""A main that only runs steps, one after the other: `python main.py step …`; tells how they ended."""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from mlflow import MlflowClient

from mlflow_workflow.launch.engine import Job
from mlflow_workflow.launch.local.engine import LocalEngine
from mlflow_workflow.launch.warm.copies import fork_root, import_store
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.request import make_request

HERE = Path(__file__).resolve().parent


def main(names: list[str]) -> None:
    workflow = read_workflow((HERE / "MLproject").read_text())
    given = {"task": names[0], "warm": os.environ.get("WARM", "true")}
    request = make_request(HERE, workflow, given)
    import_store()
    copies = fork_root(HERE, request)
    bell = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        engine = LocalEngine(HERE, "0", Path(folder), notify=bell.set, copies=copies)
        for name in names:
            run_id = MlflowClient().create_run("0").info.run_id
            engine.submit([Job(run_id, workflow.steps[name], {"x": "a b"})])
            if name == os.environ.get("LONELY"):
                time.sleep(0.5)
                os.kill(copies.pid, 9)
            bell.wait(60)
            bell.clear()
            (ended,) = engine.look()
            log = engine.log(run_id).read_text()
            print(json.dumps({"failure": ended.failure, "log": log}), flush=True)
        engine.close()


if __name__ == "__main__":
    main(sys.argv[1:])
