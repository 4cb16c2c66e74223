"""What can be known to be wrong with a project before anything of it runs, by reading alone.

`run` asks before it starts anything, the command `check` and a project's own tests ask at any time.
"""
