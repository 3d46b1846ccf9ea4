-- Sales of everything at once: orders and customers do not add up over groups.
WITH purchases AS (
    SELECT
        day_of(occurred_at) AS day,
        code_of(customer_id) AS customer,
        amount,
        status = 'completed' AND amount >= 0 AS is_order,
        status = 'refunded' OR amount < 0 AS is_refund
    FROM events
    WHERE kind = 'purchase' AND currency = $currency AND status <> 'cancelled'
        AND occurred_at >= $earliest AND occurred_at < $latest
        AND day_of(occurred_at) >= $first_day AND day_of(occurred_at) < $end_day
)
SELECT
    min(day) AS first_day,
    sum(amount) AS revenue,
    sum(-amount) FILTER (WHERE is_refund) AS refunds,
    count(*) FILTER (WHERE is_order) AS orders,
    count(DISTINCT customer) FILTER (WHERE is_order) AS customers
FROM purchases
