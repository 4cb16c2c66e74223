"""What MLproject declares and what was asked for, as plain records: nothing here reads code or data.

Pure: no MLflow, no git, no processes. Every room above may import it.
"""
