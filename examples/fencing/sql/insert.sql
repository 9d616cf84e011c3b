INSERT INTO account (id, balance, fence)
VALUES (:id, :balance, :fence)
ON CONFLICT (id) DO UPDATE
SET balance = excluded.balance, fence = excluded.fence
WHERE account.fence <= excluded.fence;
