"""Bulk scoring: a file of rows through an endpoint, without a server.

    reader -> scorer (decode -> call -> check, in this process or in several) -> writer -> output

``job`` puts them together; ``checkpoint`` says how far a run has come, for ``--resume``.
"""
