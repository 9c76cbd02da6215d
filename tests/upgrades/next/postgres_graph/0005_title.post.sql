ALTER TABLE memories RENAME COLUMN caption TO title;
