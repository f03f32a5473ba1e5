"""dice_loss."""
