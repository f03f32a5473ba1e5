"""gaussian_nll_loss."""
