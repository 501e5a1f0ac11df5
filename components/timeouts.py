"""How long Pulumi waits for an object to be gone."""

from __future__ import annotations

import pulumi

# For objects that Kubernetes deletes within moments. Kubernetes plugins before 4.24 sometimes don't
# notice that such an object is gone already, and only look again when their time is up
# (pulumi-kubernetes#3317): ten minutes by default. Then all is well, so the time is kept short. One
# that really isn't gone by then fails the destroy, which can be run again. Not shorter: the plugin
# deletes in the foreground, so each object waits for the garbage collector, which may take half a
# minute to know a kind whose CRD is new.
DELETE_TIMEOUT = pulumi.CustomTimeouts(delete="30s")
