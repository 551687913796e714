"""Figures and controls of the notebooks; nothing else imports this."""
