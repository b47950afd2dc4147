"""How what a run carries gets into the next execution of its workflow, where arguments have no room for all of it."""
