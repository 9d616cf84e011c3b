UPDATE account
SET fence = :fence
WHERE id = :id AND fence <= :fence
RETURNING balance;
