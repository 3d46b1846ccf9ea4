-- Sales by period and product or category. `lines_of` gives each purchase one line a group, and one whose group is
-- null for what its amount has beyond its items; so lines that are orders count purchases. Groups and customers are
-- numbers.
WITH purchases AS (
    SELECT
        period_of(occurred_at) AS period,
        code_of(customer_id) AS customer,
        lines_of(items, amount) AS lines,
        status = 'completed' AND amount >= 0 AS is_order,
        status = 'refunded' OR amount < 0 AS is_refund
    FROM events
    WHERE kind = 'purchase' AND currency = $currency AND status <> 'cancelled'
        AND occurred_at >= $earliest AND occurred_at < $latest
        AND day_of(occurred_at) >= $first_day AND day_of(occurred_at) < $end_day
), lines AS (
    SELECT period, customer, is_order, is_refund, unnest(lines) AS line FROM purchases
), by_customer AS (
    -- One row a customer first: counting rows costs far less memory than counting distinct customers of each group.
    SELECT
        period,
        line['group'] AS grp,
        customer,
        sum(line['amount']) AS revenue,
        sum(-line['amount']) FILTER (WHERE is_refund) AS refunds,
        count(*) FILTER (WHERE is_order) AS orders,
        sum(line['quantity']) AS units
    FROM lines
    GROUP BY period, line['group'], customer
)
SELECT
    period,
    grp,
    sum(revenue) AS revenue,
    sum(refunds) AS refunds,
    sum(orders) AS orders,
    sum(units) AS units,
    count(*) FILTER (WHERE orders > 0) AS customers
FROM by_customer
GROUP BY period, grp
