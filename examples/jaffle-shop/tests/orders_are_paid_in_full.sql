-- Whatever an order costs has to be paid, to the cent.
select order_id, gross_amount, paid_amount
from {{ ref('fct_orders') }}
where gross_amount <> paid_amount
