"""What wrote a table once, and what compares data; `python -m scripts.<name>`."""
