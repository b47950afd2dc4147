select stand_id, city, opened_on from {{ source('raw', 'stands') }}
