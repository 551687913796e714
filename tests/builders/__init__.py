"""What several test modules build: events, networks, files, recordings, runs, browsers."""
