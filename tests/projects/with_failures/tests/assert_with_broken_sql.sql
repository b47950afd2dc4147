-- The test itself cannot run: an error, not a failure.
select no_such_column from {{ ref('broken_test_sql') }}
