"""What tests do in confined processes."""


def tried(function, *arguments):
    """In the process: whether it was let."""
    try:
        return f"did: {function(*arguments)}"
    except OSError as error:
        return type(error).__name__
