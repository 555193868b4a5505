"""Commands: each reads its config and connects the rest of the package."""
