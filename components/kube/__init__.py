"""The only way to a cluster: kubeconfig, API, quantities, labels and ownership."""
