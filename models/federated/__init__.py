"""Federated learning whose aggregate every validator recomputes to the same bytes.

Rooms: `ring` (updates as integers mod 2^32), `masks`, `shamir` and `secagg` (secure sums),
`robust` (rules that outvote bad updates), `strategies` and `daisy` (what the server does with a
sum), `privacy` (noise and its budget), `rounds` (what a validator recomputes), `plant` (a
client that survives being killed). Nothing here does network or contract work.
"""
