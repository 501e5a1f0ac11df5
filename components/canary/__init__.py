"""The canary shows that a tier keeps what it has acknowledged, before services use it.

- `component`: what Pulumi sees. `driver`: the command line that Pulumi runs.
- `run`: the steps of one proof. `plan`: what is to be proven.
- `watch`: waiting until a pod runs. `pods`, `report`, `events`: a pod, and what is said of it.
- `places`: where claims may land. `spread`, `stopping`: a proof in each place, side by side.
- `volumes`: whose a volume is. `sweep`: removal of what canaries have made.
- `manifests`, `objects`: what is made, and where it is in the API.
- `probe`: what runs in the pods. `profiles`: what the probe writes.
- `verdict`: compares what was read with what was written. `limits`: what a figure may be.
- `words`: why a tier isn't proven. `record`: the last verdict. `signals`: an end by a signal.
"""
