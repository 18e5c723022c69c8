"""What others wrote, or would write: U-GAT-IT in PyTorch, and torch-fidelity's metrics."""
