{{ config(materialized='view') }}
select click_id, campaign_id, customer_id, clicked_on from {{ source('raw', 'campaign_clicks') }}
