"""l1_loss."""
