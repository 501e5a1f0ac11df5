"""Moves of data from volume to volume, with proof: within a cluster, between two, to and from a
folder of this machine.
"""
