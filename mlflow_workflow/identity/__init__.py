"""What decides whether two executions are the same: code, data, packages, parameters.

Reads git, files and installed packages, and never asks the tracking server.
"""
