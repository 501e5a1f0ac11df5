"""Timings: this program against a minimal one, and `make up` by itself. Never part of a test."""
