"""``diptych check``, ``repair``, ``rebuild``, ``sync``, and the ``runs`` that they are."""
