"""What runs in the pods of an acceptance: files that know nothing of each other."""
