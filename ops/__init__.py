"""What an operator runs against any stack, on a dev cluster or in production: its volumes, drift,
healing.

`dev` uses what is here; nothing here uses `dev`, so that `pulumi install` is all that `python -m
ops` needs.
"""
