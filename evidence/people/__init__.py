"""The question asked of 1,800 people: a plan, its trainings, and tables of what they show."""
