"""Which tests run beside which: networks of real processes never run beside each other.

`make test` uses two workers. One takes the networks, which mostly wait for each other's votes, the
other all else, a file at a time, since fixtures of a module are dear.
"""

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["node.testing.pytest_plugin"]

# No test asserts wall time: what takes long on a busy machine is not wrong.
settings.register_profile("andon", deadline=None)
settings.load_profile("andon")

NETWORKS = ("tests/integration/", "tests/e2e/")


class Scheduling(LoadScopeScheduling):
    """Gives all networks to one worker; the groups of marks do not work with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "networks" if path.startswith(NETWORKS) else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Take ours in place of the one that `--dist` names."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the networks first: they take longest, and no worker shall be left with them."""
    items.sort(key=lambda item: not item.nodeid.startswith(NETWORKS))
