"""The networks with their losses and metrics, and the fast graph of each for inference."""
