"""Keeps bytes: ports in base, adapters for Azure and for memory."""
