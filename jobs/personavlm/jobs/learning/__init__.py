"""Everything of PyTorch in training: the model, batches, losses, optimisation, checkpoints."""
