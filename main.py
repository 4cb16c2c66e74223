"""The workflow's entry point: `mlflow run . -P task=predict`, or `python main.py predict`."""

import sys
from pathlib import Path

from workflow.command import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
