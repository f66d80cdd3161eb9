"""Programs that build or check the project itself."""
