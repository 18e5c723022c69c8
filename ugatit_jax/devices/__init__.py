"""Devices and processes: the mesh, where arrays lie on it, how several processes start and agree.

Nothing here knows a network, a loss or a run.
"""
