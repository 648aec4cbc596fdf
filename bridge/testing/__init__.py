"""For tests of one's own code: what was published in a test, and handlers that get it in the same process.

Nothing here is loaded unless a test asks for it: installing the package adds nothing to anybody's test run.

- pytest: `pytest_plugins = ["bridge.testing.plugin"]` in the root `conftest.py`; then the fixtures `published`,
  `deliver_eagerly` and others.
- Everything else, such as Django's `TestCase`: `Recording(connection)`.

See docs/testing.md.
"""

from bridge.testing.events import PublishedEvent
from bridge.testing.handing import Delivered
from bridge.testing.recording import Recording

__all__ = ["Delivered", "PublishedEvent", "Recording"]
