"""triplet_loss."""
