select
    campaigns.name,
    campaigns.channel,
    count(*) as clicks,
    count(distinct clicks.customer_id) as known_customers,
    round(campaigns.budget_cents / 100.0 / count(*), 2) as cost_per_click
from {{ source('raw', 'campaigns') }} as campaigns
join {{ ref('clicks') }} as clicks using (campaign_id)
group by campaigns.campaign_id, campaigns.name, campaigns.channel, campaigns.budget_cents
