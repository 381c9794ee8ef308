"""The server that keeps a pair and a model at hand and answers JSON lines; its protocol is in protocol.md."""
