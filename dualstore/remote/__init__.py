"""Client APIs that conversations are fetched from."""
