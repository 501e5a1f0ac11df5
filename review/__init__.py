"""What a pull request would change: a preview on a copy, its plan, the comparison of two plans, and
the report.
"""
