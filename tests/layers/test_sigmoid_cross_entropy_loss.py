"""sigmoid_cross_entropy_loss."""
