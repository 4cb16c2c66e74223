"""Where a step's process runs. Each way of running one is a folder of its own.

Called by run/ only.
"""
