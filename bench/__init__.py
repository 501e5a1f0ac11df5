"""Timings: this program against a minimal one, and the canary's probe against fio.

Never part of a test.
"""
