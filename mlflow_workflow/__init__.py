"""The engine: it runs the steps of an MLflow Project and reuses what is already done.

Each folder is a room that imports only rooms below it: commands, run, report, launch, server, outputs,
identity, project, basics.
"""

__version__ = "0.2.0"
