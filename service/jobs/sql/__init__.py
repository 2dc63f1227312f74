"""The statements behind `service.jobs.rows`, by subject. Every function works inside the transaction of its ``link``.

Locks are taken in one order, the job's row before its items', so that no two transactions wait for each other.
"""
