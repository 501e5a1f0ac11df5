"""What is asked of the cluster, and of the stack's last `up`, before anything is declared."""
