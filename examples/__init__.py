"""Examples: each says what it shows, how to run it and what you will see."""
