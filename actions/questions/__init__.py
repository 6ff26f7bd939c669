"""What can be asked, noun by noun: what is here, and what the remote is asked for."""
