"""Two networks that train with shd_engine on the study's data."""
