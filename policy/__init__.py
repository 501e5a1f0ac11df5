"""The policy pack: what a storage tier and a claim must be, checked on what a program declares,
whoever wrote it.
"""
