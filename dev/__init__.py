"""What only a development machine needs: the engine and its plugins, a cluster, images. Command line: `python -m dev`."""
