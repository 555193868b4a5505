"""Networks that several parts share: building blocks, glimpses, boxes, masks, images, densities of pixels."""
