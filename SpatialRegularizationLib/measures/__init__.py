"""Pure figures of images and transforms: overlap, surface distance, landmarks, regularity, alignment, memory."""
