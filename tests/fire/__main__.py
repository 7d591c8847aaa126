"""`make fire`: see docs/fire.md."""

from tests.fire.soak import main

main()
