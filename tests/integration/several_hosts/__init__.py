"""Runs whose nodes are shared out among several processes."""
