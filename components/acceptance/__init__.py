"""The acceptance of a tier: a real engine on it is killed under load, and nothing may be lost."""
