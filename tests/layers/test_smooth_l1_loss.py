"""smooth_l1_loss."""
