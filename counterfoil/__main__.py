"""`python -m counterfoil`: the same as the `counterfoil` command."""

from counterfoil.cli.front import main

main()
