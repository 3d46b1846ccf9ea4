-- Sales by period and customer. `code_of` numbers customers.
WITH purchases AS (
    SELECT
        period_of(occurred_at) AS period,
        code_of(customer_id) AS customer,
        amount,
        units_of(items) AS units,
        status = 'completed' AND amount >= 0 AS is_order,
        status = 'refunded' OR amount < 0 AS is_refund
    FROM events
    WHERE kind = 'purchase' AND currency = $currency AND status <> 'cancelled'
        AND occurred_at >= $earliest AND occurred_at < $latest
        AND day_of(occurred_at) >= $first_day AND day_of(occurred_at) < $end_day
)
SELECT
    period,
    customer AS grp,
    sum(amount) AS revenue,
    sum(-amount) FILTER (WHERE is_refund) AS refunds,
    count(*) FILTER (WHERE is_order) AS orders,
    sum(units) AS units,
    CASE WHEN count(*) FILTER (WHERE is_order) > 0 THEN 1 ELSE 0 END AS customers
FROM purchases
GROUP BY period, customer
