-- Only adds, so that code without notes goes on.
ALTER TABLE memories ADD COLUMN note text NOT NULL DEFAULT '';
