"""Run what was asked for in the worker process, and put what it answers into nodes."""
