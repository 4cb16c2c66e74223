"""What every room uses and what knows nothing of workflows: errors, files, processes, YAML as typed.

Anybody may import it.
"""
