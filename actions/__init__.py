"""What agent tools do with the memory: get, list and search, locally first."""
