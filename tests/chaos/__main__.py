"""`make chaos`: see docs/chaos.md."""

from tests.chaos.soak import main

main()
