"""Differential privacy as arithmetic: what a mechanism costs, when a budget is spent, what noise a promise needs."""
