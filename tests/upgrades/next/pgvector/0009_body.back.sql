ALTER TABLE memories RENAME COLUMN body TO content;
