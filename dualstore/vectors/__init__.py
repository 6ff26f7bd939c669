"""Where vectors are kept: the contract and its backends."""
