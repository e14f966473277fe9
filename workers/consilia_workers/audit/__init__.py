"""The privacy audit: what a finished model gives away about the records it was trained on."""
