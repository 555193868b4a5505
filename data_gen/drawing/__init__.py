"""Pictures of objects: soft discs, flat shapes, handwritten digits, and their colours."""
