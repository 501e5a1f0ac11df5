"""Snapshots of a service's volumes as a way back: taken together as a set, listed, kept in number,
restored.
"""
