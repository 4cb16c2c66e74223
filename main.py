"""The workflow's entry point: `mlflow run . -P task=predict`, or `python main.py predict`."""

import sys
from pathlib import Path

from mlflow_workflow.run.command import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
