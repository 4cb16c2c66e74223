"""Keeps its arguments. Writes: text.txt, texts.txt."""

import os
import sys
from pathlib import Path

outputs = Path(os.environ["WORKFLOW_OUTPUTS"])
(outputs / "text.txt").write_bytes(os.fsencode(sys.argv[1]))
(outputs / "texts.txt").write_bytes(os.fsencode(sys.argv[2]))
