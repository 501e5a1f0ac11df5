"""How long Pulumi waits for an object to be gone.

Kubernetes plugins before 4.24 sometimes don't notice that an object is gone already, and only look again when their time is up
(pulumi-kubernetes#3317): ten minutes by default. Then all is well, so the time is kept short. One in ten destroys of the dev stack
has such a wait, always for a class or a quota (seen with plugin 4.18.1). One that really isn't gone by then fails the destroy, which can
be run again.
"""

from __future__ import annotations

import pulumi

AT_ONCE = pulumi.CustomTimeouts(delete="10s")  # for what is gone when the API server has answered
SOON = pulumi.CustomTimeouts(delete="30s")  # for what a controller lets go of first, as it does with a claim
