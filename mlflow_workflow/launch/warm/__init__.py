"""Steps as copies of a process that has imported their packages already (Linux)."""
