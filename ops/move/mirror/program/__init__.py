"""What runs in the pod of a mirror: Kafka Connect, and what compares both sides."""
