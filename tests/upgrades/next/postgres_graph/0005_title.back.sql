ALTER TABLE memories RENAME COLUMN title TO caption;
