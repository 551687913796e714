"""Figures and controls of the notebooks; nothing else imports this."""

from shd_helpers.figures.runs import accuracy_loss, save

__all__ = ["accuracy_loss", "save"]
