"""The Pulumi program: what it declares, from settings to stack outputs."""
