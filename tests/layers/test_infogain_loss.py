"""infogain_loss."""
