ALTER TABLE memories ADD COLUMN note text;
