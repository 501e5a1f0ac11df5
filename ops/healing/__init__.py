"""Puts right what a run that was killed has left, so that the next `pulumi up` or `pulumi destroy`
goes on by itself.

First the run itself: its lock and its orphans. Then its traces: what it had begun, and objects that
it made in the cluster and could not note in the state any more. Each step is said in a line, and
nothing where there is nothing to do. No object is ever deleted.
"""
