"""Run hosts: the processes that execute the nodes of runs."""
