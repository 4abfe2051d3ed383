-- One claim per transaction, the way services are usually written: the coupon's row is locked, judged and written.
\set user random(1, 9000000000000000000)
BEGIN;
SELECT remaining_amount FROM coupons WHERE name = :coupon FOR UPDATE;
INSERT INTO claims (user_id, coupon_name) VALUES ('user-' || :user, :coupon);
UPDATE coupons SET remaining_amount = remaining_amount - 1 WHERE name = :coupon;
COMMIT;
