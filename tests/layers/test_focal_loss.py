"""focal_loss."""
