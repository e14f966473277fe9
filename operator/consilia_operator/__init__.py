"""The Kubernetes operator: the next program to be built on the library; nothing runs here yet."""
