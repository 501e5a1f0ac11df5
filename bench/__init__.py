"""Timings: `make up` from nothing, from everything built and warm; this program against a minimal
one; the canary's probe against fio; `check` on many classes; a move against tar and rsync.

Never part of a test.
"""
