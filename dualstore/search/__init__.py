"""How questions find entries."""
