"""The remote's sessions, messages and events, and what is learnt from them, as entries."""
