"""`migrate`, `export`, and what `import` does with a full export: memories leave a store, and come into one."""
