"""hinge_loss."""
