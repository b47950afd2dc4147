"""`python -m dbt_temporal` is `dbt-temporal`."""

from dbt_temporal.entrypoints.start import main

if __name__ == "__main__":
    main()
