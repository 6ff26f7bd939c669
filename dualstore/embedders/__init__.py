"""How text becomes vectors: the contract and its backends."""
