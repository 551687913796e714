"""Programs that wrote committed tables and drawings, or check texts: `python -m scripts.<name>`."""
