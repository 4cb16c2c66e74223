"""What every Python process of a step runs first, to note what it reads: a folder of PYTHONPATH."""
