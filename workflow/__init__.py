"""The orchestrator: runs the steps of an MLproject, and reuses what is already done."""
