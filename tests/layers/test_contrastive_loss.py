"""contrastive_loss."""
