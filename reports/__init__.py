"""Run directory in, pandas frames, statistics, figures and documents out; never talks to a cloud."""
