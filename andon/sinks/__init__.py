"""Sinks: from the chain into a database, a broker, a web hook or files, without a gap.

They need the extra `sinks` (`pip install andon[sinks]`). A sink pulls final blocks and keeps how
far it came together with what it wrote; import its modules, not this door.
"""
