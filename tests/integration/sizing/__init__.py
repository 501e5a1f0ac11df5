"""What runs in the pods of test_sizing.py, beside the engine's container."""
