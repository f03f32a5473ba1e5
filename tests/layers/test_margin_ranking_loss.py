"""margin_ranking_loss."""
