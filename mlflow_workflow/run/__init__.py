"""One invocation: what is asked, decided, executed and recorded.

Begin with session.py, then execute.py.
"""
