"""The command line for operators: what is wrong on the cluster."""
