"""The files that steps leave: their manifest, where they are stored, and how they reach the next step.

Knows artifact stores, but no runs: rooms above tell it where to look.
"""
