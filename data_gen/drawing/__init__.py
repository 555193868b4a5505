"""Pictures of objects: soft discs, flat shapes, handwritten digits; their colours."""
