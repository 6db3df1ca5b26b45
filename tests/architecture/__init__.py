"""The structure of the repository, read from its imports: what may import what, and the diagram of the docs."""
