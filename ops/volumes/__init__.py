"""A stack's volumes: listed, given back to the claims that they were made for, and deleted when
asked.
"""
