"""dltrain trains neural networks from a text file: data, net and solver as YAML, checked, planned, then run."""

__version__ = "0.1.0"
