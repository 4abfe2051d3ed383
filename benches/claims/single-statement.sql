-- One claim per statement, which is a transaction of its own: the row is locked for as long as a commit takes and no longer. A user
-- who has claimed already breaks the unique constraint, and with it the whole statement.
\set user random(1, 9000000000000000000)
WITH taken AS (
    UPDATE coupons SET remaining_amount = remaining_amount - 1 WHERE name = :coupon AND remaining_amount > 0 RETURNING name
) INSERT INTO claims (user_id, coupon_name) SELECT 'user-' || :user, name FROM taken;
