"""What the end-to-end tests stand on: processes, AWS clients, Docker, waiting."""
