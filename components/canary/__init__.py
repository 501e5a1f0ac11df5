"""The canary: shows, before a service's claim is made on a tier, that the tier keeps what it has acknowledged.

`component` is what Pulumi sees; `driver` is what its Command runs on the user's machine; `probe` is what runs in the pods;
`manifests` are the pods and the claim; `verdict` compares what was read with what was written.
"""
