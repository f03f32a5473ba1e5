"""mean_iou."""
