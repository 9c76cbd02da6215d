ALTER TABLE memories RENAME COLUMN content TO body;
