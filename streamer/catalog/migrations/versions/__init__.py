"""The revisions in their order; each says what it changes."""
