"""Engine, plugins, images and an embedded Kubernetes, from packages alone: what a development
machine runs the product on."""
