"""Planning: worlds that can be stepped, and planners that see nothing else of them."""
