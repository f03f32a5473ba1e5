"""multinomial_logistic_loss."""
