"""Facts about an attempt that runs, beside that of its process: heartbeats tell people of them."""

from __future__ import annotations

PHASE = "phase"
"""What the attempt is at, in one of the words below; told where the engine knows it."""
SESSION = "session"
"""What the database calls the attempt's newest session, where its driver says so without a question; of an engine that
does not say which session it is, the name that those of its process have there."""

CAN_WAIT = frozenset({PHASE, SESSION})
"""Facts that go with the next heartbeat, whenever that is: by themselves they are worth none."""

PREPARING = "preparing"
"""What comes before: schemas, the relation cache, on-run-start, what a node inlines."""
WAITING_FOR_FILE = "waiting for the database file"
"""Another process has it open."""
WAITING_FOR_TURN = "waiting for its turn"
"""An engine that runs ahead has not begun it."""
COMPILING = "compiling"
EXECUTING = "executing"
"""Its statements run, or those of on-run-end."""
