select *
from {{ api.Relation.create(database=target.database, schema=target.schema, identifier='no_hook_log') }}
