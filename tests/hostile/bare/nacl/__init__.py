"""No signatures: no payload checks one."""
