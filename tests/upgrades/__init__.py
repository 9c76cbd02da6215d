"""Old code on new tables, new code on old ones, and the way from the one to the other."""
