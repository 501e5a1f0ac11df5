"""The `check` command: StorageClasses of any origin against the rules of their driver."""
