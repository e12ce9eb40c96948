"""The verbs of other machines: asked for over the bus, by name, and done there under that machine's own eyes."""
