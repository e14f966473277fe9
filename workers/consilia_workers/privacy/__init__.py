"""Record-level privacy: untrusted models run as checked graphs, every record isolated, clipped and noised."""
