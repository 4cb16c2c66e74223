"""The tracking server, all of it: finding and publishing runs, claims, heartbeats, patience.

No other room queries it.
"""
