"""sampled_softmax_loss."""
