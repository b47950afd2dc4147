-- Invented data of a small chain of waffle stands, always the same: what other programs would load into a warehouse.
create schema raw;

create table raw.stands (stand_id integer primary key, city text not null, opened_on date not null);
insert into raw.stands values
    (1, 'Ghent', date '2023-03-01'), (2, 'Antwerp', date '2023-06-15'), (3, 'Lille', date '2024-02-01');

create table raw.customers (customer_id integer primary key, name text not null, email text, signed_up_on date not null);
insert into raw.customers
select n, 'Customer ' || n, case when n % 7 <> 0 then 'customer' || n || '@example.com' end, date '2024-01-01' + (n * 3 % 300)
from generate_series(1, 120) as n;

create table raw.waffles (waffle_id integer primary key, name text not null, price_cents integer not null);
insert into raw.waffles values
    (1, 'Brussels', 450), (2, 'Liege', 400), (3, 'Stroop', 350), (4, 'Chocolate', 550), (5, 'Savoury', 650);

create table raw.orders (
    order_id integer primary key, customer_id integer not null, stand_id integer not null, waffle_id integer not null,
    quantity integer not null, status text not null, ordered_at timestamp not null
);
insert into raw.orders
select
    n, 1 + n * 17 % 110, 1 + n * 5 % 3, 1 + n * 11 % 5, 1 + n * 7 % 4,
    case when n % 23 = 0 then 'cancelled' when n % 9 = 0 then 'open' else 'done' end,
    timestamp '2024-03-01 10:00' + make_interval(hours => n * 13 % 8, days => n % 180)
from generate_series(1, 900) as n;

create table raw.campaigns (campaign_id integer primary key, name text not null, channel text not null, budget_cents integer not null);
insert into raw.campaigns values
    (1, 'Spring opening', 'posters', 120000), (2, 'Student week', 'social', 80000), (3, 'Two for one', 'email', 30000);

create table raw.campaign_clicks (click_id integer primary key, campaign_id integer not null, customer_id integer, clicked_on date not null);
insert into raw.campaign_clicks
select n, 1 + n * 2 % 3, case when n % 4 <> 0 then 1 + n * 29 % 120 end, date '2024-03-01' + (n % 150)
from generate_series(1, 600) as n;
