"""What the operator makes, as documents. Pure."""
