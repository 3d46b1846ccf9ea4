-- What customers bought: a row for each product of each completed purchase, once. `lines_of` gives each purchase one
-- line a product. Customers and products are numbers.
WITH purchases AS (
    SELECT code_of(customer_id) AS customer, day_of(occurred_at) AS day, lines_of(items, amount) AS lines
    FROM events
    WHERE kind = 'purchase' AND status = 'completed' AND amount >= 0
), lines AS (
    SELECT customer, day, unnest(lines) AS line FROM purchases
)
SELECT customer, day, line['group'] AS product
FROM lines
WHERE line['group'] IS NOT NULL
