"""confusion_matrix."""
