"""Topics and topic patterns as the bridge accepts them; the checks in `sql/schema/02_topics.sql` say the same."""

from __future__ import annotations

import re

WORD = r"[^.*#\s\x00\ud800-\udfff]+"
TOPIC = re.compile(rf"{WORD}(\.{WORD})*", re.ASCII)
TOPIC_PATTERN = re.compile(rf"(\*|#|{WORD})(\.(\*|#|{WORD}))*", re.ASCII)
