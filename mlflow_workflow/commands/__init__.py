"""The command line for people, `mlflow-workflow`: a file for each command.

Only `__main__` calls them. What takes long to import, such as MLflow, a command imports when it runs.
"""
