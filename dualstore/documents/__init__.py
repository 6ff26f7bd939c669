"""Where entries are kept: the contracts and their backends."""
