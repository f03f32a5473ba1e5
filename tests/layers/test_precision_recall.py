"""precision_recall."""
