"""Timings and ratios: this program against a minimal one, and its canary against fio.

They are never part of a test, because they depend on the machine.
"""
