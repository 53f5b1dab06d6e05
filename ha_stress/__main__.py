"""`python -m ha_stress` is `ha-stress`."""

from ha_stress.cli.main import main

if __name__ == "__main__":
    main()
