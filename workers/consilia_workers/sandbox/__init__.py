"""A process for code that is not trusted: it sees what it is given, reaches nobody, and answers questions."""
