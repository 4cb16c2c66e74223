"""What the others share. Writes: base.txt."""

from mlflow_workflow.step import step

if __name__ == "__main__":
    with step() as outputs:
        (outputs / "base.txt").write_text("base\n")
