-- Takes away a name that today's code goes by.
ALTER TABLE memories RENAME COLUMN content TO body;
