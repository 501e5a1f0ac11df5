"""Clients of the engines in test_consumers.py, which run in a pod."""
