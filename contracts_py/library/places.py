"""Who may make what, and what can be where: GS1 company prefixes and places of organisations."""
places = Map(key=str, value=dict)
prefixes = Map(key=str, value=dict)
Claimed = Event(prefix=str, org=str, indexed=("prefix",))
Confirmed = Event(prefix=str, org=str, by=str, indexed=("prefix",))

METRES_PER_DEGREE = 111195
# Metres a second, about 1,000 km/h: what is faster was not carried.
SPEED_MAX = 280
# Clocks of two sites differ, and a read point is not a point.
SLACK_M = 20000


@export(role="admin")
def claim(prefix: str):
    """Administrators claim a GS1 company prefix for their organisation; another one confirms it."""
    assert 6 <= len(prefix) and len(prefix) <= 12 and prefix.isdigit(), "a company prefix has 6 to 12 digits"
    assert prefix not in prefixes, "this prefix is claimed"
    prefixes[prefix] = {"org": ctx.org, "confirmed": ""}
    Claimed(prefix=prefix, org=ctx.org)


@export(role="admin")
def confirm(prefix: str):
    """Administrators of another organisation confirm a claim."""
    found = prefixes[prefix]
    assert found["org"] != ctx.org and found["confirmed"] == "", "another organisation confirms, once"
    found["confirmed"] = ctx.org
    prefixes[prefix] = found
    Confirmed(prefix=prefix, org=found["org"], by=ctx.org)


@export(role="admin")
def reject(prefix: str):
    """Administrators drop a claim that nobody has confirmed."""
    assert prefixes[prefix]["confirmed"] == "", "the prefix is confirmed"
    prefixes.remove(prefix)


@export(role="admin")
def set_place(place: str, latitude: int, longitude: int):
    """Administrators register a place of their organisation, in millionths of a degree."""
    assert abs(latitude) <= 90000000 and abs(longitude) <= 180000000, "no such place on earth"
    assert 0 < len(place) and len(place) <= 128, "a place has an id of 1 to 128 characters"
    if place in places:
        assert places[place]["org"] == ctx.org, "the place belongs to another organisation"
    places[place] = {"org": ctx.org, "latitude": latitude, "longitude": longitude}


@view
def place(name: str) -> value:
    return places.get(name)


@view
def owner_of(item: str) -> str:
    """Organisation whose confirmed company prefix begins the key of an item; empty if there is none."""
    parts = item.split("/")
    if len(parts) < 2:
        return ""
    # GTIN and SSCC begin with an indicator digit.
    key = parts[1][1:] if parts[0] == "01" or parts[0] == "00" else parts[1]
    for shorter in range(7):
        found = prefixes.get(key[: 12 - shorter]) if len(key) >= 12 - shorter else None
        if found is not None and found["confirmed"] != "":
            return found["org"]
    return ""


@view
def is_reachable(here: str, there: str, milliseconds: int) -> bool:
    """Whether something can have been carried from one place to the other; unknown places pass."""
    one = places.get(here)
    other = places.get(there)
    if one is None or other is None or here == there:
        return True
    north = abs(one["latitude"] - other["latitude"])
    east = abs(one["longitude"] - other["longitude"])
    east = min(east, 360000000 - east)
    # The place nearer to the pole gives the shorter way along a parallel, and beyond 2,000 km the great circle
    # can be shorter by a tenth and more near the pole: halve it there, so that no true journey is accused.
    degrees = max(abs(one["latitude"]), abs(other["latitude"])) // 1000000
    # Bhaskara: cos x = (32400 - 4 x^2) / (32400 + x^2) with x in degrees, within 0.2 %.
    east = east * (32400 - 4 * degrees * degrees) // (32400 + degrees * degrees)
    if east > 18000000:
        east = east // 2
    reach_m = SLACK_M + SPEED_MAX * abs(milliseconds) // 1000
    reach = reach_m * 1000000 // METRES_PER_DEGREE
    return north * north + east * east <= reach * reach
