"""How text becomes vectors: claim, embed, write, settle."""
