// Wait until what was just made can be used: in a graph that holds much already an index takes its time.
CALL db.awaitIndexes(600)
