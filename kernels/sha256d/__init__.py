"""SHA-256d over Bitcoin headers: the layout, the reference, one kernel in three back ends.

Start with ``workload.Sha256dWorkload``; energy, money and printing stop outside this room.
"""
