"""Stands in for Azure on a laptop: Azurite, an Azure OpenAI emulator, and a host that drives the triggers."""
