"""What travels: signed messages, and models as safetensors bytes in chunks."""
