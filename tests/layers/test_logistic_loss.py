"""logistic_loss."""
