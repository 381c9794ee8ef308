"""Bring two images together by one matrix, from any position and across contrasts, before anything bends."""
