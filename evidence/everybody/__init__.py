"""A network for everybody: trained on two corpora and on sounds that are no digit."""
