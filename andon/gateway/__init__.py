"""The gateway: sensor messages in, signed windows out, nothing lost or sent twice.

It needs the extra `gateway` (`pip install andon[gateway]`), OPC UA the extra `opcua`. Import its
modules, not this door: an SDK user who has no plant pays nothing for them.
"""
