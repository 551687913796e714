"""What made the committed tables, drawings and pages: `python -m evidence.<name>`."""
