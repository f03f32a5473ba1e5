"""hierarchical_softmax_loss."""
