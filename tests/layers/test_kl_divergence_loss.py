"""kl_divergence_loss."""
