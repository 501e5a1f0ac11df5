"""Stand-ins for two official plugins, used only where those can't be had: the Python language host
and the command provider.

The engine starts each as a process of its own, through a launcher that devkube/engine.py writes.
They import nothing else of `devkube`.
"""
