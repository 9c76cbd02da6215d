"""What the pages show, gathered from the services and made ready for a template."""
