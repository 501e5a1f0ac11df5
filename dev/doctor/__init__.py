"""`python -m dev doctor`: what this machine has for a dev stack, and what mends what it lacks.

Questions are asked beside each other and have a time limit (`looking`). They give facts (`facts`).
What those mean is decided by functions of the facts alone (`parts`, `clusters`, `proxies`,
`machines`), a row for each subject.
"""
