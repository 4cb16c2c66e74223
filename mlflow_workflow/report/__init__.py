"""What people see: terminal, description, page, comparison, all made of the same facts.

Asks nobody: run/ hands over what happened.
"""
