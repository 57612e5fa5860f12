"""How fast and how small the engine is: `./lab bench`. Not tests: a busy machine would fail them."""
