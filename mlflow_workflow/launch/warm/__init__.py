"""Steps as copies of a process that has imported already what their entry preloads (Linux)."""
